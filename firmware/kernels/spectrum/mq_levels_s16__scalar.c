/* Magnitudes or powers of spectra as 16 bits; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum.h"
#include "mq_spectrum_s32.h"

void mq_levels_s16(const int32_t *x, const int32_t *exponents, int16_t *y, uint32_t frames, uint32_t n, uint32_t power,
                   int32_t m, int32_t exponent) {
    const mq_pair_s32 *v = (const mq_pair_s32 *)(const void *)x;
    for (uint32_t t = 0; t < frames; t++) {
        const int32_t of_level = exponent - exponents[t] * (power ? 2 : 1);
        const int32_t shift = mq_narrowing(of_level);
        for (uint32_t k = n; k; k--, v++) {
            *y++ = power ? mq_level_s16(mq_power(*v), m, of_level)
                         : mq_sat_s16(mq_requantise((int32_t)mq_magnitude(*v), m, shift));
        }
    }
}
