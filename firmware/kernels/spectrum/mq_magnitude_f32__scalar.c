/* Magnitudes of n complex values, or their squares, f32; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "mq_spectrum.h"

void mq_magnitude_f32(const float *x, float *y, uint32_t n, uint32_t power) {
    if (power) {
        for (uint32_t i = 0; i < n; i++) {
            y[i] = x[2 * i] * x[2 * i] + x[2 * i + 1] * x[2 * i + 1];
        }
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        y[i] = sqrtf(x[2 * i] * x[2 * i] + x[2 * i + 1] * x[2 * i + 1]);
    }
}
