/* A mask laid over a spectrum, f32, Helium; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_audio.h"
#include "mq_mve_masked.h"

void mq_masked_f32(const float *x, const float *mask, float *y, uint32_t n, uint32_t complex_mask) {
    const uint32x4_t places = mq_mask_places(complex_mask);
    for (uint32_t twos = n / 2; twos; twos--, x += 4, y += 4, mask += complex_mask ? 4 : 2) {
        const float32x4_t v = vldrwq_f32(x);
        const float32x4_t re = vmulq_f32(v, vldrwq_gather_shifted_offset_f32(mask, places));
        if (complex_mask) {
            const float32x4_t im = vmulq_f32(v, vldrwq_gather_shifted_offset_f32(mask + 1, places));
            vstrwq_f32(y, vcaddq_rot90_f32(re, im));
        } else {
            vstrwq_f32(y, re);
        }
    }
    mq_mask_f32(x, mask, y, n % 2, complex_mask);
}
