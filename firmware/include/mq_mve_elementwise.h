/* Two integer operands element by element on Helium, four at a time; mq_elementwise.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_ELEMENTWISE_H
#define MQ_MVE_ELEMENTWISE_H

#include "mq_elementwise.h"
#include "mq_mve_convert.h"
#include "mq_walk.h"

/* Both operands on the scale of y, with more bits, and back. */
typedef struct {
    mq_to_scale a;
    mq_to_scale b;
    int32_t right;
    mq_limits limits;
} mq_aligned;

static inline mq_aligned mq_aligned_of(const mq_align_params *p, int32_t low, int32_t high) {
    return (mq_aligned){mq_to_scale_of(p->a_zero, p->a_multiplier, p->a_shift, 0, 0, 0),
                        mq_to_scale_of(p->b_zero, p->b_multiplier, p->b_shift, 0, 0, 0), -p->fraction,
                        mq_limits_of(p->y_zero, low, high)};
}

static inline int32x4_t mq_finer(int32x4_t x, const mq_to_scale *q) {
    return mq_scaled(vsubq_n_s32(x, q->x_zero), q);
}

static inline int32x4_t mq_coarser(int32x4_t x, const mq_aligned *q) {
    return mq_limited(vrshlq_n_s32(x, q->right), &q->limits);
}

static inline int32x4_t mq_add_four(int32x4_t a, int32x4_t b, const mq_aligned *q) {
    return mq_coarser(vaddq_s32(mq_finer(a, &q->a), mq_finer(b, &q->b)), q);
}

static inline int32x4_t mq_sub_four(int32x4_t a, int32x4_t b, const mq_aligned *q) {
    return mq_coarser(vsubq_s32(mq_finer(a, &q->a), mq_finer(b, &q->b)), q);
}

static inline int32x4_t mq_max_four(int32x4_t a, int32x4_t b, const mq_aligned *q) {
    return mq_coarser(vmaxq_s32(mq_finer(a, &q->a), mq_finer(b, &q->b)), q);
}

static inline int32x4_t mq_min_four(int32x4_t a, int32x4_t b, const mq_aligned *q) {
    return mq_coarser(vminq_s32(mq_finer(a, &q->a), mq_finer(b, &q->b)), q);
}

/* Products; `product` has x_zero 0. */
typedef struct {
    int32_t a_zero;
    int32_t b_zero;
    mq_to_scale product;
} mq_factors;

static inline mq_factors mq_factors_of(const mq_mul_params *p, int32_t low, int32_t high) {
    return (mq_factors){p->a_zero, p->b_zero, mq_to_scale_of(0, p->multiplier, p->shift, p->y_zero, low, high)};
}

static inline int32x4_t mq_mul_four(int32x4_t a, int32x4_t b, const mq_factors *q) {
    const int32x4_t product = vmulq_s32(vsubq_n_s32(a, q->a_zero), vsubq_n_s32(b, q->b_zero));
    return mq_limited(mq_scaled(product, &q->product), &q->product.limits);
}

/* Places of four values `step` apart. */
static inline uint32x4_t mq_steps_of_four(int32_t step) {
    const uint32_t s = (uint32_t)step;
    const uint32_t at[4] = {0, s, 2u * s, 3u * s};
    return vldrwq_u32(at);
}

/* Two rows of neighbours; two rows whose values are a step apart, by gather; and all rows. */
#define MQ_ELEMENTWISE(name, value, params, prepared, prepare, low, high, make, load, load_some, gather, store,        \
                       store_some)                                                                                     \
    static inline void name##_neighbours(const value *u, const value *v, value *y, uint32_t count,                     \
                                         const prepared *q) {                                                          \
        for (uint32_t fours = count >> 2; fours; fours--, u += 4, v += 4, y += 4) {                                    \
            store(y, make(load(u), load(v), q));                                                                       \
        }                                                                                                              \
        if (count & 3u) {                                                                                              \
            const mve_pred16_t some = vctp32q(count & 3u);                                                             \
            store_some(y, make(load_some(u, some), load_some(v, some), q), some);                                      \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static inline void name##_apart(const value *u, const value *v, value *y, int32_t u_step, int32_t v_step,          \
                                    uint32_t count, const prepared *q) {                                               \
        const uint32x4_t u_at = mq_steps_of_four(u_step);                                                              \
        const uint32x4_t v_at = mq_steps_of_four(v_step);                                                              \
        for (uint32_t k = 0; k < count; k += 4u, u += 4 * u_step, v += 4 * v_step) {                                   \
            const mve_pred16_t some = vctp32q(count - k);                                                              \
            store_some(y + k, make(gather(u, u_at, some), gather(v, v_at, some), q), some);                            \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    void name(const value *a, const value *b, value *y, const mq_broadcast *loops, const params *p) {                  \
        const prepared q = prepare(p, low, high);                                                                      \
        const uint32_t count = loops->shape[5];                                                                        \
        const int32_t a_step = loops->a_step[5];                                                                       \
        const int32_t b_step = loops->b_step[5];                                                                       \
        uint32_t index[5] = {0};                                                                                       \
        int32_t a_row = 0;                                                                                             \
        int32_t b_row = 0;                                                                                             \
        for (uint32_t rows = mq_walk_rows(loops->shape);;) {                                                           \
            if (a_step == 1 && b_step == 1) {                                                                          \
                name##_neighbours(a + a_row, b + b_row, y, count, &q);                                                 \
            } else {                                                                                                   \
                name##_apart(a + a_row, b + b_row, y, a_step, b_step, count, &q);                                      \
            }                                                                                                          \
            y += count;                                                                                                \
            if (--rows == 0) {                                                                                         \
                return;                                                                                                \
            }                                                                                                          \
            (void)mq_walk_next(index, loops->shape, loops->a_step, loops->b_step, &a_row, &b_row);                     \
        }                                                                                                              \
    }

#define MQ_S8_BY_FOUR vldrbq_s32, vldrbq_z_s32, vldrbq_gather_offset_z_s32, vstrbq_s32, vstrbq_p_s32
#define MQ_S16_BY_FOUR vldrhq_s32, vldrhq_z_s32, vldrhq_gather_shifted_offset_z_s32, vstrhq_s32, vstrhq_p_s32
#define MQ_WITH(macro, ...) macro(__VA_ARGS__)

#define MQ_ALIGNED_S8(name, make)                                                                                      \
    MQ_WITH(MQ_ELEMENTWISE, name, int8_t, mq_align_params, mq_aligned, mq_aligned_of, -128, 127, make, MQ_S8_BY_FOUR)
#define MQ_ALIGNED_S16(name, make)                                                                                     \
    MQ_WITH(MQ_ELEMENTWISE, name, int16_t, mq_align_params, mq_aligned, mq_aligned_of, -32768, 32767, make,            \
            MQ_S16_BY_FOUR)

#endif
