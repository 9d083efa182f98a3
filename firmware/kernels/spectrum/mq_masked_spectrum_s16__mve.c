/* A mask over spectra with exponents, Helium; see mq_spectrum.h.
 *
 * x mask 2^-15 for one factor is VQRDMULH by mask 2^16. A sum of two products is rounded once: with each product as
 * h 2^16 + l, 0 <= l < 2^16, it is 2 (h + h') + ((l + l' + 2^14) >> 15). SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_masked.h"
#include "mq_spectrum.h"

/* Two factors of 16 bits for each part, in the upper half of lanes. */
static inline int32x4_t mq_factors(const int16_t *mask, uint32x4_t places) {
    return vshlq_n_s32(vldrhq_gather_shifted_offset_s32(mask, places), 16);
}

/* The lower 16 bits of the products with factors. */
static inline int32x4_t mq_lower(int32x4_t x, int32x4_t factors) {
    return vandq_s32(vmulq_s32(x, vshrq_n_s32(factors, 16)), vdupq_n_s32(0xffff));
}

static inline int32x4_t mq_turned_by_mask(int32x4_t x, int32x4_t re, int32x4_t im) {
    const int32x4_t high = vcaddq_rot90_s32(vmulhq_s32(x, re), vmulhq_s32(x, im));
    const int32x4_t low = vcaddq_rot90_s32(mq_lower(x, re), mq_lower(x, im));
    return vaddq_s32(vaddq_s32(high, high), vrshrq_n_s32(low, 15));
}

void mq_masked_spectrum_s16(const int32_t *x, const int16_t *mask, int32_t *y, uint32_t frames, uint32_t n,
                            uint32_t complex_mask) {
    const uint32x4_t places = mq_mask_places(complex_mask);
    const uint32_t values = frames * n;
    for (uint32_t twos = values / 2; twos; twos--, x += 4, y += 4, mask += complex_mask ? 4 : 2) {
        const int32x4_t v = vldrwq_s32(x);
        const int32x4_t re = mq_factors(mask, places);
        const int32x4_t made =
            complex_mask ? mq_turned_by_mask(v, re, mq_factors(mask + 1, places)) : vqrdmulhq_s32(v, re);
        vstrwq_s32(y, made);
    }
    mq_mask_s32(x, mask, y, values % 2, complex_mask);
}
