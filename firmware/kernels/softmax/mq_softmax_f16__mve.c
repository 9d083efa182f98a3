/* Four values at a time in f32, by gather and scatter where they do not lie side by side; mq_mve_float.h has the
 * exponential. SPDX-License-Identifier: Apache-2.0 */
#include "mq_softmax.h"

#include "mq_mve_convert.h"
#include "mq_mve_float.h"

/* Values of a row, and the places of four. */
typedef struct {
    uint32_t count;
    uint32_t step;
    uint32x4_t at;
} values;

static inline float32x4_t four(const mq_f16 *x, const values *v, mve_pred16_t some) {
    return mq_widen_even(vreinterpretq_f16_u32(vldrhq_gather_shifted_offset_z_u32(x, v->at, some)));
}

static inline void put(mq_f16 *y, const values *v, float32x4_t x, mve_pred16_t some) {
    vstrhq_scatter_shifted_offset_p_u32(y, v->at, mq_four_narrowed(x), some);
}

static float largest_of(const mq_f16 *x, const values *v) {
    const float32x4_t first = vdupq_n_f32(mq_f16_to_f32(*x));
    float32x4_t largest = first;
    float lanes[4];
    for (uint32_t k = 0; k < v->count; k += 4u, x += v->step) {
        const mve_pred16_t some = vctp32q(v->count - k);
        largest = vmaxnmq_f32(largest, vpselq_f32(four(x, v, some), first, some));
    }
    vstrwq_f32(lanes, largest);
    for (uint32_t k = 1; k < 4u; k++) {
        lanes[0] = lanes[k] > lanes[0] ? lanes[k] : lanes[0];
    }
    return lanes[0];
}

/* e^(x - largest), 0 below e^-60. */
static inline float32x4_t power(float32x4_t x, float largest) {
    const float32x4_t t = vmulq_n_f32(vaddq_n_f32(x, -largest), 1.44269504f);
    const float32x4_t e = vaddq_n_f32(mq_exp2m1_f32(vmaxnmq_f32(t, vdupq_n_f32(-90.0f))), 1.0f);
    return vmaxnmq_f32(e, vdupq_n_f32(0.0f));
}

static void row(const mq_f16 *x, mq_f16 *y, const values *v) {
    const float largest = largest_of(x, v);
    float32x4_t sums = vdupq_n_f32(0.0f);
    mq_f16 *to = y;
    float lanes[4];
    for (uint32_t k = 0; k < v->count; k += 4u, x += v->step, to += v->step) {
        const mve_pred16_t some = vctp32q(v->count - k);
        const float32x4_t e = power(four(x, v, some), largest);
        sums = vaddq_f32(sums, vpselq_f32(e, vdupq_n_f32(0.0f), some));
        put(to, v, e, some);
    }
    vstrwq_f32(lanes, sums);
    const float scale = 1.0f / ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
    for (uint32_t k = 0; k < v->count; k += 4u, y += v->step) {
        const mve_pred16_t some = vctp32q(v->count - k);
        put(y, v, vmulq_n_f32(four(y, v, some), scale), some);
    }
}

void mq_softmax_f16(const mq_f16 *x, mq_f16 *y, uint32_t outer, uint32_t count, uint32_t inner) {
    const uint32_t at[4] = {0, inner, 2u * inner, 3u * inner};
    const values v = {count, 4u * inner, vldrwq_u32(at)};
    for (uint32_t o = 0; o < outer; o++) {
        for (uint32_t i = 0; i < inner; i++) {
            row(x + i, y + i, &v);
        }
        x += (size_t)count * inner;
        y += (size_t)count * inner;
    }
}
