/* Floating-point primitives from IEEE basic operations alone, so that host, QEMU and board give the same bits.
 *
 * Compile with -ffp-contract=off and without -ffast-math. mcu_quant's float references are numpy's; the errors stated
 * here are the largest measured over all floats of the stated range (tests/test_float_primitives.py).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FLOAT_H
#define MQ_FLOAT_H

#include <string.h>

#include "mq_base.h"

static inline uint32_t mq_bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float mq_float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Half precision to single, exact. */
static inline float mq_f16_to_f32(mq_f16 h) {
#if defined(__ARM_FP16_FORMAT_IEEE)
    __fp16 value;
    memcpy(&value, &h, sizeof value);
    return (float)value;
#else
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u) { /* infinity and NaN keep their payload; NaN becomes quiet */
        return mq_float_of(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13) | (magnitude > 0x7c00u ? 0x400000u : 0u));
    }
    if (magnitude >= 0x0400u) {
        return mq_float_of(sign | ((magnitude << 13) + 0x38000000u));
    }
    const float subnormal = (float)magnitude * 0x1p-24f; /* exact */
    return mq_float_of(sign | mq_bits_of(subnormal));
#endif
}

/* Single precision to half, nearest even; overflows to infinity. */
static inline mq_f16 mq_f32_to_f16(float x) {
#if defined(__ARM_FP16_FORMAT_IEEE)
    const __fp16 value = (__fp16)x;
    mq_f16 h;
    memcpy(&h, &value, sizeof h);
    return h;
#else
    const uint32_t u = mq_bits_of(x);
    const uint32_t sign = (u >> 16) & 0x8000u;
    const uint32_t magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return (mq_f16)(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    }
    if (magnitude >= 0x477ff000u) { /* 65520 and above rounds to infinity */
        return (mq_f16)(sign | 0x7c00u);
    }
    if (magnitude < 0x38800000u) { /* below 2^-14: a multiple of 2^-24, made by adding and removing 0.5 */
        const float aligned = mq_float_of(magnitude) + 0.5f;
        return (mq_f16)(sign | (mq_bits_of(aligned) - 0x3f000000u));
    }
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (mq_f16)(sign | ((rounded - 0x38000000u) >> 13));
#endif
}

#endif
