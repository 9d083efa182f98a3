/* Four values at a time, their powers by gather; mq_softmax.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_softmax.h"

#include "mq_fixed.h"
#include "mq_fixed_functions.h"
#include "mq_mve_scale.h"

/* Values of a row and the places of four. */
typedef struct {
    uint32_t count;
    uint32_t step;
    uint32x4_t at;
    const uint32_t *coarse;
    const uint32_t *fine;
} values;

static int32_t largest_of(const int16_t *x, const values *v) {
    const int32x4_t first = vdupq_n_s32(*x);
    int32x4_t largest = first;
    for (uint32_t k = 0; k < v->count; k += 4u, x += v->step) {
        const mve_pred16_t some = vctp32q(v->count - k);
        largest = vmaxq_s32(largest, vpselq_s32(vldrhq_gather_shifted_offset_z_s32(x, v->at, some), first, some));
    }
    return vmaxvq_s32(-32768, largest);
}

static inline int32x4_t looked_up(const uint32_t *table, uint32x4_t at, mve_pred16_t some) {
    return vreinterpretq_s32_u32(vldrwq_gather_shifted_offset_z_u32(table, at, some));
}

/* e of the values in `some`, 0 elsewhere. */
static inline int32x4_t powers(const int16_t *x, const values *v, int32x4_t largest, mve_pred16_t some) {
    const int32x4_t below = vsubq_s32(largest, vldrhq_gather_shifted_offset_z_s32(x, v->at, some));
    const uint32x4_t coarse = vreinterpretq_u32_s32(vshrq_n_s32(below, 8));
    const uint32x4_t fine = vreinterpretq_u32_s32(vandq_s32(below, vdupq_n_s32(255)));
    return vmulhq_s32(looked_up(v->coarse, coarse, some), looked_up(v->fine, fine, some));
}

static void row(const int16_t *x, int16_t *y, const values *v, const mq_softmax_s16_params *p) {
    const int32x4_t largest = vdupq_n_s32(largest_of(x, v));
    const int16_t *from = x;
    uint64_t sum = 0;
    for (uint32_t k = 0; k < v->count; k += 4u, from += v->step) {
        sum = vaddlvaq_u32(sum, vreinterpretq_u32_s32(powers(from, v, largest, vctp32q(v->count - k))));
    }
    const mq_factor inverse = mq_reciprocal((int64_t)sum);
    const mq_to_scale scale = mq_to_scale_of(0, mq_mulhr(inverse.multiplier, p->y_multiplier),
                                             mq_clamp(inverse.shift + p->y_shift, -31, 31), 0, -32768, 32767);
    for (uint32_t k = 0; k < v->count; k += 4u, x += v->step, y += v->step) {
        const mve_pred16_t some = vctp32q(v->count - k);
        const int32x4_t part = mq_limited(mq_scaled(powers(x, v, largest, some), &scale), &scale.limits);
        vstrhq_scatter_shifted_offset_p_s32(y, v->at, part, some);
    }
}

void mq_softmax_s16(const int16_t *x, int16_t *y, const mq_softmax_s16_params *p) {
    const uint32_t step = p->inner;
    const uint32_t at[4] = {0, step, 2u * step, 3u * step};
    const values v = {p->count, 4u * step, vldrwq_u32(at), (const uint32_t *)p->coarse, (const uint32_t *)p->fine};
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < step; i++) {
            row(x + i, y + i, &v, p);
        }
        x += (size_t)p->count * step;
        y += (size_t)p->count * step;
    }
}
