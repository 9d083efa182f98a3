/* Two operands in f16 element by element on Helium, eight at a time; mq_elementwise.h has the mathematics. A sum or a
 * product of two halves has the same bits whether it is rounded to f16 at once or to f32 first.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_HALF_ELEMENTWISE_H
#define MQ_MVE_HALF_ELEMENTWISE_H

#include "mq_elementwise.h"
#include "mq_mve_half.h"
#include "mq_walk.h"

/* The larger (smaller) one; b where the two do not compare. */
static inline float16x8_t mq_larger_f16(float16x8_t a, float16x8_t b) {
    return vpselq_f16(a, b, vcmpgtq_f16(a, b));
}

static inline float16x8_t mq_smaller_f16(float16x8_t a, float16x8_t b) {
    return vpselq_f16(a, b, vcmpgtq_f16(b, a));
}

/* `count` <= 8 values `step` apart. */
static inline float16x8_t mq_apart_f16(const mq_f16 *p, int32_t step, uint32_t count) {
    mq_f16 values[8] = {0};
    for (uint32_t k = 0; k < count; k++) {
        values[k] = *p;
        p += step;
    }
    return mq_load_f16(values);
}

#define MQ_ELEMENTWISE_F16(name, make)                                                                                 \
    void name(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops) {                                \
        const int32_t a_step = loops->a_step[5];                                                                       \
        const int32_t b_step = loops->b_step[5];                                                                       \
        uint32_t index[5] = {0};                                                                                       \
        int32_t a_row = 0;                                                                                             \
        int32_t b_row = 0;                                                                                             \
        for (uint32_t rows = mq_walk_rows(loops->shape);;) {                                                           \
            const mq_f16 *u = a + a_row;                                                                               \
            const mq_f16 *v = b + b_row;                                                                               \
            uint32_t left = loops->shape[5];                                                                           \
            if (a_step == 1 && b_step == 1) {                                                                          \
                for (; left >= 8u; left -= 8u, u += 8, v += 8, y += 8) {                                               \
                    vstrhq_u16(y, vreinterpretq_u16_f16(make(mq_load_f16(u), mq_load_f16(v))));                        \
                }                                                                                                      \
            }                                                                                                          \
            while (left) {                                                                                             \
                const uint32_t eight = left < 8u ? left : 8u;                                                          \
                const float16x8_t first = mq_apart_f16(u, a_step, eight);                                              \
                mq_store_some_f16(y, make(first, mq_apart_f16(v, b_step, eight)), vctp16q(eight));                     \
                u += 8 * a_step;                                                                                       \
                v += 8 * b_step;                                                                                       \
                y += eight;                                                                                            \
                left -= eight;                                                                                         \
            }                                                                                                          \
            if (--rows == 0) {                                                                                         \
                return;                                                                                                \
            }                                                                                                          \
            (void)mq_walk_next(index, loops->shape, loops->a_step, loops->b_step, &a_row, &b_row);                     \
        }                                                                                                              \
    }

#endif
