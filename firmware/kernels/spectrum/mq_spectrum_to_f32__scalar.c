/* Spectra with exponents as floats; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_float.h"
#include "mq_spectrum.h"

void mq_spectrum_to_f32(const int32_t *x, const int32_t *exponents, float *y, uint32_t frames, uint32_t n,
                        float scale) {
    for (uint32_t t = 0; t < frames; t++) {
        const float step = mq_scale(scale, -exponents[t]);
        for (uint32_t i = 0; i < n; i++) {
            y[t * n + i] = (float)x[t * n + i] * step;
        }
    }
}
