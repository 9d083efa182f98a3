/* The floating-point instructions of Cortex-M4F, M7 and M33 that half precision needs, one function each, named after
 * the instruction; anywhere else an exact model in C (see mq_dsp.h).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_DSP_FLOAT_H
#define MQ_DSP_FLOAT_H

#include "mq_dsp.h"
#include "mq_float.h"

/* Two f16 in 32 bits, the first in the lower ones, in whatever register the core computes on. */
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP) && defined(__GNUC__)

typedef float mq_half_pair;

static inline mq_half_pair mq_pair_of(uint32_t word) {
    return mq_float_of(word);
}

/* VCVTB: the first of a pair in f32. */
static inline float mq_vcvtb(mq_half_pair pair) {
    float y;
    __asm__("vcvtb.f32.f16 %0, %1" : "=t"(y) : "t"(pair));
    return y;
}

/* VCVTT: the second. */
static inline float mq_vcvtt(mq_half_pair pair) {
    float y;
    __asm__("vcvtt.f32.f16 %0, %1" : "=t"(y) : "t"(pair));
    return y;
}

/* VMLA: acc + a * b, the product rounded before it is added. */
static inline float mq_vmla(float acc, float a, float b) {
    __asm__("vmla.f32 %0, %1, %2" : "+t"(acc) : "t"(a), "t"(b));
    return acc;
}

#else

typedef uint32_t mq_half_pair;

static inline mq_half_pair mq_pair_of(uint32_t word) {
    return word;
}

static inline float mq_vcvtb(mq_half_pair pair) {
    return mq_f16_to_f32((mq_f16)(pair & 0xffffu));
}

static inline float mq_vcvtt(mq_half_pair pair) {
    return mq_f16_to_f32((mq_f16)(pair >> 16));
}

static inline float mq_vmla(float acc, float a, float b) {
    const float product = a * b;
    return acc + product;
}

#endif

typedef struct {
    mq_half_pair a;
    mq_half_pair b;
    mq_half_pair c;
    mq_half_pair d;
    mq_half_pair e;
    mq_half_pair f;
    mq_half_pair g;
    mq_half_pair h;
} mq_eight_pairs;

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP) && defined(__GNUC__)

/* VLDM: the next eight words, on a word boundary, into registers that ascend. */
static inline mq_eight_pairs mq_vldm8(const mq_word **p) {
    register float a __asm__("s8");
    register float b __asm__("s9");
    register float c __asm__("s10");
    register float d __asm__("s11");
    register float e __asm__("s12");
    register float f __asm__("s13");
    register float g __asm__("s14");
    register float h __asm__("s15");
    const mq_word *at = *p;
    __asm__ volatile("vldmia %0!, {%1, %2, %3, %4, %5, %6, %7, %8}"
                     : "+r"(at), "=t"(a), "=t"(b), "=t"(c), "=t"(d), "=t"(e), "=t"(f), "=t"(g), "=t"(h)
                     : "m"(*(const mq_word(*)[8]) * p));
    *p = at;
    return (mq_eight_pairs){a, b, c, d, e, f, g, h};
}

#else

static inline mq_eight_pairs mq_vldm8(const mq_word **p) {
    const mq_word *at = *p;
    *p = at + 8;
    return (mq_eight_pairs){at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]};
}

#endif

/* LDR: the next two f16 from any address. */
static inline mq_half_pair mq_next_pair(const mq_f16 **p) {
    uint32_t word;
    MQ_COPY(&word, *p, sizeof word);
    *p += 2;
    return mq_pair_of(word);
}

#endif
