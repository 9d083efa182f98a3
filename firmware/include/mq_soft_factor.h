/* Products with a constant float, to integers and from integers, with integer arithmetic alone: the very bits of IEEE
 * 754 arithmetic, at a quarter of what a core without a floating-point unit takes for it.
 *
 * A float is (-1)^s m 2^(e - 150) with 24 bits of m. Products of mantissas have 48 bits; halves of 12 bits of them are
 * multiplied. As in IEEE 754 a product is rounded to 24 bits, half to even, before it is rounded to an integer. Where a
 * float is subnormal, infinite or NaN, the compiler's arithmetic is used.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_SOFT_FACTOR_H
#define MQ_SOFT_FACTOR_H

#include "mq_float.h"

/* m = high 2^12 + low. is_plain: positive, and far from where products overflow or become subnormal. */
typedef struct {
    float value;
    uint32_t high;
    uint32_t low;
    int32_t exponent;
    int32_t is_plain;
} mq_soft_factor;

static inline mq_soft_factor mq_soft_factor_of(float x) {
    const uint32_t bits = mq_bits_of(x);
    const int32_t exponent = (int32_t)(bits >> 23);
    const uint32_t m = (bits & 0x7fffffu) | 0x800000u;
    const mq_soft_factor made = {x, m >> 12, m & 0xfffu, exponent, exponent > 20 && exponent < 220};
    return made;
}

/* x / 2^bits, half to even; bits in [1, 24], x below 2^31 - 2^24. */
static inline uint32_t mq_half_even(uint32_t x, uint32_t bits) {
    return (x + ((1u << bits) >> 1) - 1u + ((x >> bits) & 1u)) >> bits;
}

/* mq_round(x * s). */
static inline int32_t mq_soft_round_times(float x, const mq_soft_factor *s) {
    const uint32_t bits = mq_bits_of(x);
    const int32_t own = (int32_t)((bits >> 23) & 0xffu);
    if (bits << 1 == 0u && s->is_plain) {
        return 0;
    }
    if (own == 0 || own == 255 || !s->is_plain) {
        return mq_round(x * s->value);
    }
    int32_t exponent = own + s->exponent - 127;
    if (exponent < 125) { /* below one half, whatever the mantissas are */
        return 0;
    }
    int32_t rounded = 1048576;
    if (exponent < 147) {
        const uint32_t high = ((bits >> 12) & 0x7ffu) | 0x800u, low = bits & 0xfffu;
        const uint32_t least = low * s->low;
        const uint32_t middle = high * s->low + low * s->high + (least >> 12);
        uint32_t m = high * s->high + (middle >> 12);
        uint32_t rest = (middle & 0xfffu) << 12 | (least & 0xfffu); /* 24 bits behind m */
        if (m < 0x800000u) {
            m = m << 1 | rest >> 23;
            rest = (rest << 1) & 0xffffffu;
        } else {
            exponent++;
        }
        m += (rest + 0x7fffffu + (m & 1u)) >> 24;
        rounded =
            exponent < 126 ? 0 : (exponent > 146 ? 1048576 : (int32_t)mq_half_even(m, (uint32_t)(150 - exponent)));
    }
    return bits >> 31 ? -rounded : rounded;
}

/* (float)v * s, |v| < 2^17. */
static inline float mq_soft_times(int32_t v, const mq_soft_factor *s) {
    MQ_ASSERT(v > -131072 && v < 131072);
    if (!s->is_plain || v == 0) {
        return (float)v * s->value;
    }
    uint32_t a = (uint32_t)(v < 0 ? -v : v);
    int32_t exponent = s->exponent + 16;
    if (a < 1u << 9) {
        a <<= 8;
        exponent -= 8;
    }
    if (a < 1u << 13) {
        a <<= 4;
        exponent -= 4;
    }
    if (a < 1u << 15) {
        a <<= 2;
        exponent -= 2;
    }
    while (a < 1u << 16) { /* once, and twice for 1 */
        a <<= 1;
        exponent -= 1;
    }
    const uint32_t least = a * s->low;
    const uint32_t high = a * s->high + (least >> 12); /* [2^27, 2^29): the first of 40 or 41 bits */
    uint32_t m = high >> 4;
    uint32_t rest = (high & 15u) << 13 | (least & 0xfffu) << 1; /* 17 bits behind m */
    if (m >= 0x1000000u) {
        rest = (m & 1u) << 16 | rest >> 1;
        m >>= 1;
        exponent++;
    }
    m += (rest + 0xffffu + (m & 1u)) >> 17;
    return mq_float_of((v < 0 ? 0x80000000u : 0u) + ((uint32_t)(exponent - 1) << 23) + m);
}

#endif
