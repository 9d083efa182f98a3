/* A mask over spectra with exponents; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_masked.h"
#include "mq_spectrum.h"

void mq_masked_spectrum_s16(const int32_t *x, const int16_t *mask, int32_t *y, uint32_t frames, uint32_t n,
                            uint32_t complex_mask) {
    mq_mask_s32(x, mask, y, frames * n, complex_mask);
}
