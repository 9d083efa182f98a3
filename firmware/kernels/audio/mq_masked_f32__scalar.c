/* A mask laid over a spectrum, f32; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_audio.h"

void mq_masked_f32(const float *x, const float *mask, float *y, uint32_t n, uint32_t complex_mask) {
    for (uint32_t k = 0; k < n; k++) {
        const float re = x[2 * k];
        const float im = x[2 * k + 1];
        const float mask_re = complex_mask ? mask[2 * k] : mask[k];
        const float mask_im = complex_mask ? mask[2 * k + 1] : 0.0f;
        y[2 * k] = complex_mask ? re * mask_re - im * mask_im : re * mask_re;
        y[2 * k + 1] = complex_mask ? re * mask_im + im * mask_re : im * mask_re;
    }
}
