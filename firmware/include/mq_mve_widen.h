/* Between half and single precision on Helium: VCVTB reads and writes the even lanes of eight halves, VCVTT the odd
 * ones.
 *
 * GNU as up to 2.40 encodes these two with twice the number of each vector register, so under GCC they are written as
 * numbers; the symbols turn what GCC calls a register into its number. Clang has an assembler of its own.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_WIDEN_H
#define MQ_MVE_WIDEN_H

#include <arm_mve.h>

#if defined(__clang__)

static inline float32x4_t mq_widen_even(float16x8_t a) {
    return vcvtbq_f32_f16(a);
}

static inline float32x4_t mq_widen_odd(float16x8_t a) {
    return vcvttq_f32_f16(a);
}

static inline float16x8_t mq_narrow_even(float16x8_t a, float32x4_t b) {
    return vcvtbq_f16_f32(a, b);
}

static inline float16x8_t mq_narrow_odd(float16x8_t a, float32x4_t b) {
    return vcvttq_f16_f32(a, b);
}

#else

#define MQ_VCVT(code)                                                                                                  \
    ".set .Lmq_q0, 0\n\t.set .Lmq_q1, 1\n\t.set .Lmq_q2, 2\n\t.set .Lmq_q3, 3\n\t"                                     \
    ".set .Lmq_q4, 4\n\t.set .Lmq_q5, 5\n\t.set .Lmq_q6, 6\n\t.set .Lmq_q7, 7\n\t"                                     \
    ".inst.w " code " + (.Lmq_%q0 << 13) + (.Lmq_%q1 << 1)"

static inline float32x4_t mq_widen_even(float16x8_t a) {
    float32x4_t r;
    __asm__(MQ_VCVT("0xfe3f0e01") : "=w"(r) : "w"(a));
    return r;
}

static inline float32x4_t mq_widen_odd(float16x8_t a) {
    float32x4_t r;
    __asm__(MQ_VCVT("0xfe3f1e01") : "=w"(r) : "w"(a));
    return r;
}

static inline float16x8_t mq_narrow_even(float16x8_t a, float32x4_t b) {
    __asm__(MQ_VCVT("0xee3f0e01") : "+w"(a) : "w"(b));
    return a;
}

static inline float16x8_t mq_narrow_odd(float16x8_t a, float32x4_t b) {
    __asm__(MQ_VCVT("0xee3f1e01") : "+w"(a) : "w"(b));
    return a;
}

#endif

#endif
