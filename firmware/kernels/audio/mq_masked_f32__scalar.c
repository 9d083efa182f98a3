/* A mask laid over a spectrum, f32; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_audio.h"
#include "mq_masked.h"

void mq_masked_f32(const float *x, const float *mask, float *y, uint32_t n, uint32_t complex_mask) {
    mq_mask_f32(x, mask, y, n, complex_mask);
}
