/* Fixed-point primitives. Each has a name and a contract; integer kernels use nothing else to scale or narrow.
 *
 * mcu_quant/fixed.py is the same in numpy, bit for bit; docs/numerics.md derives the error bounds.
 * With MQ_CHECKED each primitive traps when its contract is broken.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FIXED_H
#define MQ_FIXED_H

#include "mq_base.h"

#if defined(__ARM_ARCH_6M__) && defined(__GNUC__)
#include "mq_armv6m.h"
#endif

/* Four products of halves, for cores that multiply 32 by 32 bits into 32 (Armv6-M). With a = a1 2^16 + a0, b alike and
 * a0, b0 >= 0: middle = a1 b0 + (a0 b0 >> 16) and low = a0 b1 + middle mod 2^16 fit 32 bits, and
 * a b = a1 b1 2^32 + (middle >> 16) 2^32 + low 2^16 + (a0 b0 mod 2^16). */
typedef struct {
    int32_t high; /* a1 b1 + (middle >> 16) */
    int32_t low;
} mq_halves;

static inline mq_halves mq_product_of_halves(int32_t a, int32_t b) {
    const int32_t a0 = a & 0xffff;
    const int32_t b0 = b & 0xffff;
    const int32_t middle = (a >> 16) * b0 + (int32_t)(((uint32_t)a0 * (uint32_t)b0) >> 16);
    const mq_halves product = {(a >> 16) * (b >> 16) + (middle >> 16), a0 * (b >> 16) + (middle & 0xffff)};
    return product;
}

/* (a * b) >> 32 and (a * b + 2^31) >> 32 by halves. */
static inline int32_t mq_mulh_by_halves(int32_t a, int32_t b) {
    const mq_halves product = mq_product_of_halves(a, b);
    return product.high + (product.low >> 16);
}

static inline int32_t mq_mulhr_by_halves(int32_t a, int32_t b) {
    const mq_halves product = mq_product_of_halves(a, b);
    return product.high + (((product.low >> 15) + 1) >> 1);
}

/* High word of the 64-bit product, rounded: (a * b + 2^31) >> 32. One instruction on DSP (SMMULR) and Helium (VRMULH),
 * the first of which GCC does not find by itself.
 */
static inline int32_t mq_mulhr(int32_t a, int32_t b) {
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__)
    int32_t high;
    __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
    return high;
#elif defined(__ARM_ARCH_6M__)
    return mq_mulhr_by_halves(a, b);
#else
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
#endif
}

/* High word of the 64-bit product, rounded down: (a * b) >> 32. One instruction on DSP (SMMUL) and Helium (VMULH). GCC
 * would find SMULL, but merges two of them with each other's sign extensions. */
static inline int32_t mq_mulh(int32_t a, int32_t b) {
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__)
    int32_t high;
    __asm__("smmul %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
    return high;
#elif defined(__ARM_ARCH_6M__)
    return mq_mulh_by_halves(a, b);
#else
    return (int32_t)(((int64_t)a * b) >> 32);
#endif
}

/* A multiplier for many products, taken apart where that saves work: m = high 2^16 + low, low in [-2^15, 2^15). */
typedef struct {
    int32_t high;
    int32_t low;
} mq_signed_halves;

static inline mq_signed_halves mq_signed_halves_of(int32_t m) {
    const mq_signed_halves made = {(int32_t)(((uint32_t)m + 0x8000u) >> 16), (int16_t)(m & 0xffff)};
    return made;
}

/* (a * m) >> 32 for m in [0, 2^31) and |a| < 2^31 - 2^18: with a in signed halves as well,
 * a1 m0 + a0 m1 + (a0 m0 >> 16) fits 32 bits, so nothing has to be carried as in mq_mulh_by_halves. */
static inline int32_t mq_mulh_by_signed_halves(int32_t a, mq_signed_halves m) {
    MQ_ASSERT(a < INT32_MAX - 262144 && a > -INT32_MAX + 262144);
    const int32_t low = (int16_t)(a & 0xffff);
    const int32_t high = (a + 0x8000) >> 16;
    const int32_t middle = low * m.high + ((low * m.low) >> 16) + high * m.low;
    return high * m.high + (middle >> 16);
}

#if defined(__ARM_ARCH_6M__)

typedef mq_signed_halves mq_multiplier;

static inline mq_multiplier mq_multiplier_of(int32_t m) {
    return mq_signed_halves_of(m);
}

/* (a * m) >> 32, as mq_mulh_by_signed_halves. */
static inline int32_t mq_times(int32_t a, mq_multiplier m) {
    return mq_mulh_by_signed_halves(a, m);
}

#else

typedef int32_t mq_multiplier;

static inline mq_multiplier mq_multiplier_of(int32_t m) {
    return m;
}

static inline int32_t mq_times(int32_t a, mq_multiplier m) {
    return mq_mulh(a, m);
}

#endif

/* x >> shift, half rounded up; shift in [0, 31]. What is shifted out last is added, so every x is legal. */
static inline int32_t mq_rshr(int32_t x, int32_t shift) {
    MQ_ASSERT(shift >= 0 && shift <= 31);
    return shift == 0 ? x : (x >> shift) + ((x >> (shift - 1)) & 1);
}

/* The same for 64 bits; x + 2^(shift-1) must fit. */
static inline int64_t mq_rshr64(int64_t x, int32_t shift) {
    MQ_ASSERT(shift >= 0 && shift <= 62);
    return (x + (((int64_t)1 << shift) >> 1)) >> shift;
}

/* acc * 2^shift, limited to 32 bits; shift in [0, 31]. VQSHL. */
static inline int32_t mq_shl_sat(int32_t acc, int32_t shift) {
    MQ_ASSERT(shift >= 0 && shift <= 31);
    const int32_t shifted = (int32_t)((uint32_t)acc << shift);
    return shifted >> shift == acc ? shifted : (acc < 0 ? INT32_MIN : INT32_MAX);
}

/* mq_requantise for its two signs of shift. */
#if defined(__ARM_ARCH_6M__) && defined(__GNUC__)

MQ_OUT_OF_LINE int32_t mq_requantise_up(int32_t acc, int32_t m, int32_t shift) {
    return mq_mulhr(mq_shl_sat(acc, shift), m);
}

#else

static inline int32_t mq_requantise_up(int32_t acc, int32_t m, int32_t shift) {
    return mq_mulhr(mq_shl_sat(acc, shift), m);
}

static inline int32_t mq_requantise_down(int32_t acc, int32_t m, int32_t shift) {
    const int32_t product = mq_mulh(acc, m); /* |product| <= 2^30 */
    return ((product >> (-shift - 1)) + 1) >> 1;
}

#endif

/* acc * m * 2^(shift - 32), half rounded up: the one requantisation of the project.
 * A positive shift comes before the product and saturates (the result is then beyond every 16-bit output anyway), a
 * negative one after it. Rounded once: what is rounded down before a rounding shift cannot change its result.
 * m in [2^30, 2^31) or 0, shift in [-31, 31]. */
static inline int32_t mq_requantise(int32_t acc, int32_t m, int32_t shift) {
    return shift < 0 ? mq_requantise_down(acc, m, shift) : mq_requantise_up(acc, m, shift);
}

/* clamp(zero + requantise(acc, multiplier, shift), least, most) with a negative shift, for many acc: `rounding` holds
 * zero, as zero + (((q >> down) + 1) >> 1) = ((q >> down) + 1 + 2 zero) >> 1. */
#if defined(__ARM_ARCH_6M__) && defined(__GNUC__)

static inline mq_requantiser mq_requantiser_of(int32_t multiplier, int32_t shift, int32_t zero, int32_t least,
                                               int32_t most) {
    const mq_signed_halves m = mq_signed_halves_of(multiplier);
    const mq_requantiser made = {m.high, m.low, ~shift, 1 + 2 * zero, least, most};
    return made;
}

#else

typedef struct {
    int32_t multiplier;
    int32_t down;
    int32_t rounding;
    int32_t least;
    int32_t most;
} mq_requantiser;

static inline mq_requantiser mq_requantiser_of(int32_t multiplier, int32_t shift, int32_t zero, int32_t least,
                                               int32_t most) {
    const mq_requantiser made = {multiplier, ~shift, 1 + 2 * zero, least, most};
    return made;
}

static inline int32_t mq_requantised(int32_t acc, const mq_requantiser *s) {
    const int32_t value = ((mq_mulh(acc, s->multiplier) >> s->down) + s->rounding) >> 1;
    return value < s->least ? s->least : (value > s->most ? s->most : value);
}

#endif

/* The same for a 64-bit accumulator, first brought to 32 bits by a rounding shift of `pre` bits. */
static inline int32_t mq_requantise64(int64_t acc, int32_t pre, int32_t m, int32_t shift) {
    const int64_t narrow = mq_rshr64(acc, pre);
    MQ_ASSERT(narrow == (int32_t)narrow);
    return mq_requantise((int32_t)narrow, m, shift);
}

/* x limited to [low, high]. */
static inline int32_t mq_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : (x > high ? high : x);
}

/* x limited to the bits of a type: one instruction (SSAT) that GCC does not find by itself. */
static inline int8_t mq_sat_s8(int32_t x) {
#if defined(__ARM_FEATURE_SAT) && defined(__GNUC__)
    int32_t limited;
    __asm__("ssat %0, #8, %1" : "=r"(limited) : "r"(x));
    return (int8_t)limited;
#else
    return (int8_t)mq_clamp(x, -128, 127);
#endif
}

static inline int16_t mq_sat_s16(int32_t x) {
#if defined(__ARM_FEATURE_SAT) && defined(__GNUC__)
    int32_t limited;
    __asm__("ssat %0, #16, %1" : "=r"(limited) : "r"(x));
    return (int16_t)limited;
#else
    return (int16_t)mq_clamp(x, -32768, 32767);
#endif
}

/* A 16-bit function by table and linear interpolation: 513 entries over x in [-32768, 32767].
 * i = (x + 32768) >> 7, f = (x + 32768) & 127: table[i] + rshr((table[i + 1] - table[i]) * f, 7). */
#define MQ_TABLE_ENTRIES 513
static inline int16_t mq_lookup(int16_t x, const int16_t *table) {
    const uint32_t u = (uint32_t)(x + 32768);
    const int32_t low = table[u >> 7];
    const int32_t high = table[(u >> 7) + 1u];
    return (int16_t)(low + (((high - low) * (int32_t)(u & 127u) + 64) >> 7));
}

#endif
