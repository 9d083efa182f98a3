/* Functions in fixed point: powers of two, logarithms, reciprocals, from mq_fixed.h's primitives.
 *
 * "Q24" is an integer that stands for itself times 2^-24. A factor is a multiplier and a shift as mq_requantise takes
 * them: multiplier 2^(shift - 32). mcu_quant/fixed_functions.py is the same in numpy, bit for bit; the errors stated
 * here are upper bounds of what is measured (tests/test_fixed.py).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FIXED_FUNCTIONS_H
#define MQ_FIXED_FUNCTIONS_H

#include "mq_base.h"
#include "mq_fixed.h"

typedef struct {
    int32_t multiplier;
    int32_t shift;
} mq_factor;

/* Bits of x without leading zeros: the smallest n with x < 2^n. */
static inline int32_t mq_bit_length(uint64_t x) {
    const uint32_t high = (uint32_t)(x >> 32);
    uint32_t word = high ? high : (uint32_t)x;
    int32_t bits = high ? 32 : 0;
#if defined(__ARM_FEATURE_CLZ) && defined(__GNUC__)
    return word ? bits + 32 - __builtin_clz(word) : 0;
#else
    for (int32_t step = 16; step > 0; step /= 2) {
        if (word >> step) {
            word >>= step;
            bits += step;
        }
    }
    return bits + (int32_t)word;
#endif
}

/* 2^-x: x >= 0 in Q24, the result in Q30; relative error below 1.0e-7, plus half a step. 2^30 at 0, 0 from 32 on.
 * The fraction by a polynomial of degree 5, minimax with its value at 0 held at 1. */
static inline int32_t mq_exp2_negative(int32_t x) {
    MQ_ASSERT(x >= 0);
    const int32_t whole = x >> 24;
    if (whole > 31) {
        return 0;
    }
    const int32_t f = (x & 0xffffff) << 7; /* Q31; each product with it takes one bit off the other factor's Q */
    int32_t p = -32466643;                 /* Q35 */
    p = 158154409 + mq_mulhr(p, f);        /* Q34 */
    p = -475000691 + mq_mulhr(p, f);
    p = 1031565859 + mq_mulhr(p, f);
    p = -1488514807 + mq_mulhr(p, f);
    p = 1073741824 + mq_mulhr(p, f); /* Q30 */
    return mq_rshr(p, whole);
}

/* log2(x), x >= 1, in Q24, rounded down; error below 1.1 steps.
 * Squaring the mantissa doubles the logarithm: whenever it passes 2, the next bit is set. */
static inline int32_t mq_log2(int64_t x) {
    MQ_ASSERT(x >= 1);
    const int32_t whole = mq_bit_length((uint64_t)x) - 1;
    uint64_t m = whole >= 31 ? (uint64_t)x >> (whole - 31) : (uint64_t)x << (31 - whole); /* [1, 2) in Q31 */
    int32_t log2 = whole;
    for (int32_t bit = 0; bit < 24; bit++) {
        m = (m * m) >> 31;
        const uint32_t over = (uint32_t)(m >> 32);
        log2 = log2 * 2 + (int32_t)over;
        m >>= over;
    }
    return log2;
}

/* The next 16 bits of a quotient. */
typedef struct {
    uint32_t quotient;
    uint32_t rest;
} mq_digits;

/* (rest 2^16 + next) / s for rest < s, s in [2^31, 2^32), next < 2^16: the upper halves give at most two too many. */
static inline mq_digits mq_next_digits(uint32_t rest, uint32_t next, uint32_t s) {
    uint32_t quotient = rest / (s >> 16);
    uint32_t left = rest - quotient * (s >> 16);
    while (left < 65536u && (quotient > 65535u || quotient * (s & 0xffffu) > (left << 16 | next))) {
        quotient--;
        left += s >> 16;
    }
    const mq_digits made = {quotient, (rest << 16) + next - quotient * s};
    return made;
}

/* (2^62 - 2) / s, s in [2^31, 2^32). */
static inline uint32_t mq_inverse_by_division(uint32_t s) {
    const mq_digits high = mq_next_digits(0x3fffffffu, 0xffffu, s);
    const mq_digits low = mq_next_digits(high.rest, 0xfffeu, s);
    return high.quotient << 16 | low.quotient;
}

/* One more binary digit of a quotient; `rest` is one more than what is left. */
static inline mq_digits mq_next_digit(mq_digits so_far, uint32_t s) {
    so_far.rest *= 2u;
    so_far.quotient *= 2u;
    if (so_far.rest > s) {
        so_far.rest -= s;
        so_far.quotient++;
    }
    return so_far;
}

/* The same without a division: (2^61 - 1) / (s / 2), whose rest stays below s. */
static inline uint32_t mq_inverse_by_digits(uint32_t s) {
    const uint32_t half = s >> 1;
    mq_digits so_far = {1u, 0x80000000u - half};
    for (uint32_t digit = 0; digit < 30u; digit += 5u) {
        so_far = mq_next_digit(so_far, half);
        so_far = mq_next_digit(so_far, half);
        so_far = mq_next_digit(so_far, half);
        so_far = mq_next_digit(so_far, half);
        so_far = mq_next_digit(so_far, half);
    }
    return so_far.quotient;
}

/* 1 / x, x >= 1; relative error below 2^-29. */
static inline mq_factor mq_reciprocal(int64_t x) {
    MQ_ASSERT(x >= 1);
    const int32_t drop = mq_bit_length((uint64_t)x) - 31;
    const uint32_t s = (uint32_t)(drop >= 0 ? (uint64_t)x >> drop : (uint64_t)x << -drop) << 1;
#if defined(__ARM_ARCH_6M__)
    const uint32_t inverse = mq_inverse_by_digits(s);
#else
    const uint32_t inverse = mq_inverse_by_division(s);
#endif
    const mq_factor factor = {(int32_t)inverse, -29 - drop};
    return factor;
}

/* a * b in Q30, rounded; the result must fit. */
static inline int32_t mq_mul_q30(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 29)) >> 30);
}

/* 1 / sqrt(x), x >= 1; relative error below 2^-28.
 * x = v 4^h, v in [1/4, 1): a parabola within 2.5 % of 1 / sqrt(v), and three Newton steps r += r (1 - v r^2) / 2. */
static inline mq_factor mq_rsqrt(int64_t x) {
    MQ_ASSERT(x >= 1);
    const int32_t h = (mq_bit_length((uint64_t)x) + 1) / 2 - 15;
    const int32_t v = (int32_t)(h >= 0 ? x >> (2 * h) : x << (-2 * h)); /* Q30 */
    int32_t r = 2 * (mq_mul_q30(mq_mul_q30(879699408, v) - 1763812389, v) + 1433893831);
    for (int32_t step = 0; step < 3; step++) {
        const int32_t error = 1073741824 - mq_mul_q30(mq_mul_q30(v, r), r);
        const int64_t better = r + (((int64_t)r * error + ((int64_t)1 << 30)) >> 31);
        r = (int32_t)(better > INT32_MAX ? INT32_MAX : better);
    }
    const mq_factor factor = {r < 1073741824 ? 1073741824 : r, -13 - h};
    return factor;
}

#endif
