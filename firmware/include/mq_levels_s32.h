/* Magnitudes and powers of complex values of 32 bits, and what becomes 16 bits of them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_LEVELS_S32_H
#define MQ_LEVELS_S32_H

#include "mq_fft_s32.h"

/* Bits of a number: 0 for 0, 1 for 1, 2 for 2 and 3, ... */
static inline int32_t mq_bits(uint32_t x) {
#if defined(__GNUC__)
    return x ? 32 - __builtin_clz(x) : 0;
#else
    int32_t bits = 0;
    for (int32_t step = 16; step > 0; step /= 2) {
        if (x >> step) {
            x >>= step;
            bits += step;
        }
    }
    return bits + (int32_t)x;
#endif
}

static inline int32_t mq_bits64(uint64_t x) {
    const uint32_t high = (uint32_t)(x >> 32);
    return high ? 32 + mq_bits(high) : mq_bits((uint32_t)x);
}

/* Largest integer not above the square root, of 32 bits. */
static inline uint32_t mq_root(uint32_t x) {
#if (defined(__arm__) && !defined(__ARM_FP)) || (defined(__riscv) && !defined(__riscv_flen))
    uint32_t root = 0;
    for (uint32_t bit = 1u << 15; bit; bit >>= 1) {
        const uint32_t tried = root | bit;
        if (tried * tried <= x) {
            root = tried;
        }
    }
    return root;
#else
    const uint32_t near = (uint32_t)MQ_SQRT((float)x); /* at most 1 away */
    const int32_t rest = (int32_t)(x - near * near);   /* modulo 2^32, but within 2^18 of 0 */
    return near + (rest > (int32_t)(2 * near)) - (rest < 0);
#endif
}

/* Powers of values below 2^31. */
static inline uint64_t mq_power(mq_pair_s32 v) {
    return (uint64_t)((int64_t)v.re * v.re) + (uint64_t)((int64_t)v.im * v.im);
}

/* Magnitude of a value below 2^31: the root of the upper 32 of 64 bits, so that 15 bits of it are right. */
static inline uint32_t mq_magnitude(mq_pair_s32 v) {
    const uint64_t square = mq_power(v);
    const int32_t bits = mq_bits64(square);
    const int32_t half = bits > 32 ? (bits - 31) / 2 : 0;
    return mq_root((uint32_t)(square >> (2 * half))) << half;
}

/* The words of the powers of n values, cut by 15 bits where bands sum them; `low` may be where v is. */
static inline void mq_powers_s32(const mq_pair_s32 *v, uint32_t *low, uint32_t *high, uint32_t n, int cut) {
    for (; n; n--) {
        const uint64_t power = mq_power(*v++) >> (cut ? 15 : 0);
        *low++ = (uint32_t)power;
        *high++ = (uint32_t)(power >> 32);
    }
}

/* The magnitudes of n values; `y` may be where v is. */
static inline void mq_magnitudes_s32(const mq_pair_s32 *v, uint32_t *y, uint32_t n) {
    for (; n; n--) {
        *y++ = mq_magnitude(*v++);
    }
}

/* The sum of words times weights, modulo 2^64. */
static inline uint64_t mq_band_s32(const uint32_t *x, const uint16_t *weights, uint32_t count) {
    uint64_t sum = 0;
    for (; count; count--) {
        sum += (uint64_t)*x++ * *weights++;
    }
    return sum;
}

/* The shift of mq_requantise for a factor m 2^exponent. Beyond its limits nothing is left, or all is beyond 16 bits. */
static inline int32_t mq_narrowing(int32_t exponent) {
    return mq_clamp(exponent + 32, -31, 31);
}

/* value m 2^exponent, half rounded up, limited to 32767; m in [2^30, 2^31) or 0. */
static inline int16_t mq_level_s16(uint64_t value, int32_t m, int32_t exponent) {
    const int32_t extra = mq_bits64(value) - 31;
    const int32_t cut = extra > 0 ? extra : 0;
    const int32_t shift = mq_narrowing(exponent + cut);
    return mq_sat_s16(mq_requantise((int32_t)(value >> cut), m, shift));
}

/* The levels of n values as 16 bits: powers or magnitudes times m 2^exponent, half rounded up. */
static inline void mq_narrow_powers_s16(const mq_pair_s32 *v, int16_t *y, uint32_t n, int32_t m, int32_t exponent) {
    for (; n; n--) {
        *y++ = mq_level_s16(mq_power(*v++), m, exponent);
    }
}

static inline void mq_narrow_magnitudes_s16(const mq_pair_s32 *v, int16_t *y, uint32_t n, int32_t m, int32_t exponent) {
    const int32_t shift = mq_narrowing(exponent);
    for (; n; n--) {
        *y++ = mq_sat_s16(mq_requantise((int32_t)mq_magnitude(*v++), m, shift));
    }
}

#endif
