/* Magnitudes or powers of spectra as 16 bits, Helium; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_levels_s32.h"
#include "mq_spectrum.h"

void mq_levels_s16(const int32_t *x, const int32_t *exponents, int16_t *y, uint32_t frames, uint32_t n, uint32_t power,
                   int32_t m, int32_t exponent) {
    const mq_pair_s32 *v = (const mq_pair_s32 *)(const void *)x;
    for (uint32_t t = 0; t < frames; t++, v += n, y += n) {
        if (power) {
            mq_mve_narrow_powers_s16(v, y, n, m, exponent - 2 * exponents[t]);
        } else {
            mq_mve_narrow_magnitudes_s16(v, y, n, m, exponent - exponents[t]);
        }
    }
}
