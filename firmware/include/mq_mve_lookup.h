/* The 16-bit table function of mq_fixed.h on Helium, four values at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_LOOKUP_H
#define MQ_MVE_LOOKUP_H

#include "mq_mve.h"

/* mq_lookup. x in the range of s16. */
static inline int32x4_t mq_lookup_s32(int32x4_t x, const int16_t *table) {
    const int32x4_t u = vaddq_n_s32(x, 32768);
    const uint32x4_t at = vreinterpretq_u32_s32(vshrq_n_s32(u, 7));
    const int32x4_t low = vldrhq_gather_shifted_offset_s32(table, at);
    const int32x4_t rise = vsubq_s32(vldrhq_gather_shifted_offset_s32(table + 1, at), low);
    return vaddq_s32(low, vrshrq_n_s32(vmulq_s32(rise, vandq_s32(u, vdupq_n_s32(127))), 7));
}

#endif
