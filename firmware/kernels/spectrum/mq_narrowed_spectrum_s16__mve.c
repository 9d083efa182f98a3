/* Spectra as 16 bits on a scale of their own, Helium; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum.h"
#include "mq_mve_spectrum_s32.h"

void mq_narrowed_spectrum_s16(const int32_t *x, const int32_t *exponents, int16_t *y, uint32_t frames, uint32_t n,
                              int32_t m, int32_t exponent) {
    for (uint32_t t = 0; t < frames; t++) {
        mq_mve_narrow_s16(x + t * n, y + t * n, n, m, exponent - exponents[t]);
    }
}
