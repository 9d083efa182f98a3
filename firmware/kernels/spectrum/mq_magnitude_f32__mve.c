/* Magnitudes of n complex values, or their squares, f32, Helium; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_spectrum_f32.h"
#include "mq_spectrum.h"

void mq_magnitude_f32(const float *x, float *y, uint32_t n, uint32_t power) {
    mq_mve_levels_f32(x, y, n, power);
}
