/* The DSP instructions of Armv7E-M and Armv8-M (Cortex-M4, M7, M33), one function each, named after the instruction.
 *
 * On a core that has them they are that instruction; anywhere else an exact model in C, so that the very source that is
 * flashed is compiled and tested on a PC. A word holds four bytes or two halfwords, the first in the lowest bits.
 * Sums are modulo 2^32 (2^64), as in the core's registers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_DSP_H
#define MQ_DSP_H

#include "mq_base.h"

/* The first `count` < 4 bytes; the others are 0. */
static inline uint32_t mq_load_some_bytes(const int8_t *p, uint32_t count) {
    uint32_t word = 0;
    for (uint32_t i = 0; i < count; i++) {
        word |= (uint32_t)(uint8_t)p[i] << (8u * i);
    }
    return word;
}

/* Four bytes from any address: one LDR. */
static inline uint32_t mq_load_bytes(const int8_t *p) {
    uint32_t word;
    MQ_COPY(&word, p, sizeof word);
    return word;
}

/* Two halfwords from any address: one LDR. */
static inline uint32_t mq_load_halves(const int16_t *p) {
    uint32_t word;
    MQ_COPY(&word, p, sizeof word);
    return word;
}

/* Two halfwords side by side. */
static inline uint32_t mq_pack(int32_t first, int32_t second) {
    return ((uint32_t)first & 0xffffu) | ((uint32_t)second << 16);
}

/* Packed weights, which lie on word boundaries, read as words whatever they were declared as. */
#if defined(__GNUC__)
typedef uint32_t __attribute__((may_alias)) mq_word;
#else
typedef uint32_t mq_word;
#endif

typedef struct {
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t d;
} mq_four_words;

typedef struct {
    uint32_t a;
    uint32_t b;
} mq_two_words;

#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__)

/* Loads are volatile so that they stay where they are written: a compiler that brings all of an unrolled loop's loads
 * forward runs out of registers. */

/* LDR: the next four bytes, from any address, and the pointer behind them. */
static inline uint32_t mq_next_bytes(const int8_t **p) {
    uint32_t word;
    const int8_t *at = *p;
    __asm__ volatile("ldr %0, [%1], #4" : "=r"(word), "+r"(at) : "m"(*(const int8_t (*)[4]) * p));
    *p = at;
    return word;
}

/* LDR: the next two halfwords. */
static inline uint32_t mq_next_halves(const int16_t **p) {
    uint32_t word;
    const int16_t *at = *p;
    __asm__ volatile("ldr %0, [%1], #4" : "=r"(word), "+r"(at) : "m"(*(const int16_t (*)[2]) * p));
    *p = at;
    return word;
}

/* LDM: the next four words, into registers that ascend. */
static inline mq_four_words mq_ldm4(const mq_word **p) {
    register uint32_t a __asm__("r3");
    register uint32_t b __asm__("r4");
    register uint32_t c __asm__("r5");
    register uint32_t d __asm__("r6");
    const mq_word *at = *p;
    __asm__ volatile("ldmia %0!, {%1, %2, %3, %4}"
                     : "+r"(at), "=r"(a), "=r"(b), "=r"(c), "=r"(d)
                     : "m"(*(const mq_word(*)[4]) * p));
    *p = at;
    return (mq_four_words){a, b, c, d};
}

/* LDRD: the next two words. */
static inline mq_two_words mq_ldrd(const mq_word **p) {
    mq_two_words v;
    const mq_word *at = *p;
    __asm__ volatile("ldrd %0, %1, [%2], #8" : "=&r"(v.a), "=&r"(v.b), "+r"(at) : "m"(*(const mq_word(*)[2]) * p));
    *p = at;
    return v;
}

/* Bytes 0 and 2 with their sign. */
static inline uint32_t mq_sxtb16(uint32_t x) {
    uint32_t y;
    __asm__("sxtb16 %0, %1" : "=r"(y) : "r"(x));
    return y;
}

/* Bytes 1 and 3 with their sign. */
static inline uint32_t mq_sxtb16_odd(uint32_t x) {
    uint32_t y;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(x));
    return y;
}

/* Bytes 0 and 2 of x, with their sign, added to the halfwords of a. */
static inline uint32_t mq_sxtab16(uint32_t a, uint32_t x) {
    uint32_t y;
    __asm__("sxtab16 %0, %1, %2" : "=r"(y) : "r"(a), "r"(x));
    return y;
}

/* The same with bytes 1 and 3. */
static inline uint32_t mq_sxtab16_odd(uint32_t a, uint32_t x) {
    uint32_t y;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(y) : "r"(a), "r"(x));
    return y;
}

/* The low halfwords of a and b. */
static inline uint32_t mq_pkhbt(uint32_t a, uint32_t b) {
    uint32_t y;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

/* The high halfwords of a and b. */
static inline uint32_t mq_pkhtb(uint32_t a, uint32_t b) {
    uint32_t y;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(y) : "r"(b), "r"(a));
    return y;
}

/* acc + low halfwords' product + high halfwords' product. */
static inline int32_t mq_smlad(uint32_t a, uint32_t b, int32_t acc) {
    int32_t y;
    __asm__("smlad %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(acc));
    return y;
}

/* acc + high halfword of a * low halfword of b. */
static inline int32_t mq_smlatb(uint32_t a, uint32_t b, int32_t acc) {
    int32_t y;
    __asm__("smlatb %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(acc));
    return y;
}

/* acc + low halfword of a * low halfword of b. */
static inline int32_t mq_smlabb(uint32_t a, uint32_t b, int32_t acc) {
    int32_t y;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(acc));
    return y;
}

/* acc + low halfword of a * high halfword of b. */
static inline int32_t mq_smlabt(uint32_t a, uint32_t b, int32_t acc) {
    int32_t y;
    __asm__("smlabt %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(acc));
    return y;
}

/* acc + high halfword of a * high halfword of b. */
static inline int32_t mq_smlatt(uint32_t a, uint32_t b, int32_t acc) {
    int32_t y;
    __asm__("smlatt %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(acc));
    return y;
}

/* mq_smlad in 64 bits. */
static inline int64_t mq_smlald(uint32_t a, uint32_t b, int64_t acc) {
    __asm__("smlald %Q0, %R0, %1, %2" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
}

#else

static inline uint32_t mq_next_bytes(const int8_t **p) {
    uint32_t word;
    MQ_COPY(&word, *p, sizeof word);
    *p += 4;
    return word;
}

static inline uint32_t mq_next_halves(const int16_t **p) {
    uint32_t word;
    MQ_COPY(&word, *p, sizeof word);
    *p += 2;
    return word;
}

static inline mq_four_words mq_ldm4(const mq_word **p) {
    const mq_word *at = *p;
    *p = at + 4;
    return (mq_four_words){at[0], at[1], at[2], at[3]};
}

static inline mq_two_words mq_ldrd(const mq_word **p) {
    const mq_word *at = *p;
    *p = at + 2;
    return (mq_two_words){at[0], at[1]};
}

static inline uint32_t mq_sxtab16(uint32_t a, uint32_t x) {
    const uint32_t low = a + ((x & 0xffu) ^ 0x80u) - 0x80u;
    const uint32_t high = (a >> 16) + (((x >> 16) & 0xffu) ^ 0x80u) - 0x80u;
    return (low & 0xffffu) | (high << 16);
}

static inline uint32_t mq_sxtab16_odd(uint32_t a, uint32_t x) {
    return mq_sxtab16(a, x >> 8);
}

static inline uint32_t mq_sxtb16(uint32_t x) {
    return mq_sxtab16(0, x);
}

static inline uint32_t mq_sxtb16_odd(uint32_t x) {
    return mq_sxtab16(0, x >> 8);
}

static inline uint32_t mq_pkhbt(uint32_t a, uint32_t b) {
    return (a & 0xffffu) | (b << 16);
}

static inline uint32_t mq_pkhtb(uint32_t a, uint32_t b) {
    return (a >> 16) | (b & 0xffff0000u);
}

static inline int64_t mq_smlald(uint32_t a, uint32_t b, int64_t acc) {
    const int32_t low = (int16_t)(a & 0xffffu) * (int16_t)(b & 0xffffu);
    const int32_t high = (int16_t)(a >> 16) * (int16_t)(b >> 16);
    return (int64_t)((uint64_t)acc + (uint64_t)((int64_t)low + high));
}

static inline int32_t mq_smlabb(uint32_t a, uint32_t b, int32_t acc) {
    return (int32_t)((uint32_t)acc + (uint32_t)((int16_t)(a & 0xffffu) * (int16_t)(b & 0xffffu)));
}

static inline int32_t mq_smlabt(uint32_t a, uint32_t b, int32_t acc) {
    return (int32_t)((uint32_t)acc + (uint32_t)((int16_t)(a & 0xffffu) * (int16_t)(b >> 16)));
}

static inline int32_t mq_smlatt(uint32_t a, uint32_t b, int32_t acc) {
    return (int32_t)((uint32_t)acc + (uint32_t)((int16_t)(a >> 16) * (int16_t)(b >> 16)));
}

static inline int32_t mq_smlatb(uint32_t a, uint32_t b, int32_t acc) {
    return (int32_t)((uint32_t)acc + (uint32_t)((int16_t)(a >> 16) * (int16_t)(b & 0xffffu)));
}

static inline int32_t mq_smlad(uint32_t a, uint32_t b, int32_t acc) {
    return (int32_t)(uint32_t)((uint64_t)mq_smlald(a, b, acc) & 0xffffffffu);
}

#endif
#endif
