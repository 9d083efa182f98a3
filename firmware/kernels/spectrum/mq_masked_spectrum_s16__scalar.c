/* A mask over spectra with exponents; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_fixed.h"
#include "mq_spectrum.h"

void mq_masked_spectrum_s16(const int32_t *x, const int16_t *mask, int32_t *y, uint32_t frames, uint32_t n,
                            uint32_t complex_mask) {
    for (uint32_t i = 0; i < frames * n; i++) {
        const int64_t re = x[2 * i];
        const int64_t im = x[2 * i + 1];
        if (complex_mask) {
            const int32_t mask_re = mask[2 * i];
            const int32_t mask_im = mask[2 * i + 1];
            y[2 * i] = (int32_t)mq_rshr64(re * mask_re - im * mask_im, 15);
            y[2 * i + 1] = (int32_t)mq_rshr64(re * mask_im + im * mask_re, 15);
        } else {
            y[2 * i] = (int32_t)mq_rshr64(re * mask[i], 15);
            y[2 * i + 1] = (int32_t)mq_rshr64(im * mask[i], 15);
        }
    }
}
