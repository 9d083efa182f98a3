/* Magnitudes or powers of spectra as 16 bits; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum.h"
#include "mq_spectrum_s32.h"

void mq_levels_s16(const int32_t *x, const int32_t *exponents, int16_t *y, uint32_t frames, uint32_t n, uint32_t power,
                   int32_t m, int32_t exponent) {
    const mq_pair_s32 *const spectra = (const mq_pair_s32 *)(const void *)x;
    for (uint32_t t = 0; t < frames; t++) {
        for (uint32_t k = 0; k < n; k++) {
            const mq_pair_s32 v = spectra[t * n + k];
            if (power) {
                const uint64_t square = (uint64_t)((int64_t)v.re * v.re) + (uint64_t)((int64_t)v.im * v.im);
                y[t * n + k] = (int16_t)mq_level_s16(square, m, exponent - 2 * exponents[t]);
            } else {
                y[t * n + k] = (int16_t)mq_level_s16(mq_magnitude(v), m, exponent - exponents[t]);
            }
        }
    }
}
