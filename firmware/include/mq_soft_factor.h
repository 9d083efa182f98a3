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

/* m = high 2^12 + low = upper 2^8 + ... is_plain: positive, and far from where products overflow or become subnormal.
 * to_256ths: see mq_soft_round_times; below every exponent where the factor is not plain. */
typedef struct {
    float value;
    uint32_t high;
    uint32_t low;
    uint32_t upper;
    int32_t exponent;
    int32_t to_256ths;
    int32_t is_plain;
} mq_soft_factor;

static inline mq_soft_factor mq_soft_factor_of(float x) {
    const uint32_t bits = mq_bits_of(x);
    const int32_t exponent = (int32_t)(bits >> 23);
    const int32_t is_plain = exponent > 20 && exponent < 220;
    const uint32_t m = (bits & 0x7fffffu) | 0x800000u;
    const mq_soft_factor made = {x, m >> 12, m & 0xfffu, m >> 8, exponent, is_plain ? 276 - exponent : 0, is_plain};
    return made;
}

/* x / 2^bits, half to even; bits in [1, 24], x below 2^31 - 2^24. */
static inline uint32_t mq_half_even(uint32_t x, uint32_t bits) {
    return (x + ((1u << bits) >> 1) - 1u + ((x >> bits) & 1u)) >> bits;
}

/* mq_round(x * s), from all bits. */
MQ_OUT_OF_LINE int32_t mq_soft_round_all(float x, const mq_soft_factor *s) {
    const uint32_t bits = mq_bits_of(x);
    const int32_t own = (int32_t)((bits >> 23) & 0xffu);
    if (own == 0 || own == 255 || !s->is_plain) {
        return mq_round(x * s->value);
    }
    int32_t exponent = own + s->exponent - 127;
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

/* mq_round(x * s). Below 256 the upper 16 bits of both mantissas give the product to six 256ths, from below: enough
 * where it is not that near to a half. `down` of their product leaves the 256ths. */
static inline int32_t mq_soft_round_times(float x, const mq_soft_factor *s) {
    const uint32_t bits = mq_bits_of(x);
    const int32_t down = s->to_256ths - (int32_t)((bits >> 23) & 0xffu);
    if ((uint32_t)(down - 17) < 15u) {
        const uint32_t upper = ((bits >> 8) & 0x7fffu) | 0x8000u;
        const uint32_t from_half = ((upper * s->upper) >> down) + 128u;
        if (((from_half + 6u) & 255u) > 6u) {
            const int32_t rounded = (int32_t)(from_half >> 8);
            return bits >> 31 ? -rounded : rounded;
        }
    } else if (down >= 32) { /* below one half, whatever the mantissas are */
        return 0;
    }
    return mq_soft_round_all(x, s);
}

/* (float)v * s, |v| < 2^17. */
static inline float mq_soft_times(int32_t v, const mq_soft_factor *s) {
    MQ_ASSERT(v > -131072 && v < 131072);
    if (!s->is_plain || v == 0) {
        return (float)v * s->value;
    }
    uint32_t a = (uint32_t)(v < 0 ? -v : v);
    uint32_t exponent = (uint32_t)s->exponent + 15;
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
    /* the first 28 or 29 of 40 or 41 bits; the last of them is set if one behind it is */
    const uint32_t least = a * s->low;
    uint32_t m = a * s->high + (least >> 12);
    m |= least << 20 ? 1u : 0u;
    if (m >= 1u << 28) {
        m = m >> 1 | (m & 1u);
        exponent++;
    }
    m = (m + 7u + ((m >> 4) & 1u)) >> 4;
    return mq_float_of(((uint32_t)v & 0x80000000u) + (exponent << 23) + m);
}

#endif
