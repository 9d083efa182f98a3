/* Conversions of four values at a time on Helium; mq_convert.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_CONVERT_H
#define MQ_MVE_CONVERT_H

#include "mq_float.h"
#include "mq_mve_scale.h"

/* Four halves in f32: each is widened from the low half of a lane. */
static inline float32x4_t mq_four_f16(const mq_f16 *p) {
    return mq_widen_even(vreinterpretq_f16_u32(vldrhq_u32(p)));
}

static inline float32x4_t mq_four_z_f16(const mq_f16 *p, mve_pred16_t some) {
    return mq_widen_even(vreinterpretq_f16_u32(vldrhq_z_u32(p, some)));
}

static inline uint32x4_t mq_four_narrowed(float32x4_t x) {
    return vreinterpretq_u32_f16(mq_narrow_even(vreinterpretq_f16_u16(vdupq_n_u16(0)), x));
}

static inline void mq_put_four_f16(mq_f16 *p, float32x4_t x) {
    vstrhq_u32(p, mq_four_narrowed(x));
}

static inline void mq_put_four_p_f16(mq_f16 *p, float32x4_t x, mve_pred16_t some) {
    vstrhq_p_u32(p, mq_four_narrowed(x), some);
}

/* From floats to integers: what mq_round and saturation do. */
typedef struct {
    float inverse_scale;
    int32_t zero;
    int32x4_t low;
    int32x4_t high;
} mq_to_integers;

static inline mq_to_integers mq_to_integers_of(float inverse_scale, int32_t zero, int32_t low, int32_t high) {
    return (mq_to_integers){inverse_scale, zero - 0x4b400000, vdupq_n_s32(low), vdupq_n_s32(high)};
}

static inline int32x4_t mq_integers(float32x4_t x, const mq_to_integers *q) {
    const float32x4_t real = vmaxnmq_f32(vmulq_n_f32(x, q->inverse_scale), vdupq_n_f32(-1048576.0f));
    const float32x4_t whole = vaddq_n_f32(vminnmq_f32(real, vdupq_n_f32(1048576.0f)), 12582912.0f);
    return vminq_s32(vmaxq_s32(vaddq_n_s32(vreinterpretq_s32_f32(whole), q->zero), q->low), q->high);
}

/* From integers to floats. */
typedef struct {
    float scale;
    int32_t zero;
} mq_to_reals;

static inline float32x4_t mq_reals(int32x4_t x, const mq_to_reals *q) {
    return vmulq_n_f32(vcvtq_f32_s32(vsubq_n_s32(x, q->zero)), q->scale);
}

static inline float32x4_t mq_as_it_is(float32x4_t x, const void *unused) {
    (void)unused;
    return x;
}

/* y[i] = make(x[i], q) for n values: whole vectors, then what is left. */
#define MQ_BY_FOUR(load, load_some, make, q, store, store_some)                                                        \
    for (uint32_t fours = n >> 2; fours; fours--, x += 4, y += 4) {                                                    \
        store(y, make(load(x), q));                                                                                    \
    }                                                                                                                  \
    if (n & 3u) {                                                                                                      \
        const mve_pred16_t some = vctp32q(n & 3u);                                                                     \
        store_some(y, make(load_some(x, some), q), some);                                                              \
    }

#endif
