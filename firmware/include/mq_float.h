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

/* Nearest integer, half to even, limited to [-2^20, 2^20]; NaN gives the lower limit.
 * Adding 1.5 * 2^23 leaves no fraction bits in an f32, so the addition itself rounds. */
static inline int32_t mq_round(float x) {
    const float low = -1048576.0f;
    const float high = 1048576.0f;
    const float bounded = x > low ? (x < high ? x : high) : low;
    return (int32_t)(mq_bits_of(bounded + 12582912.0f) - 0x4b400000u);
}

/* e^x, relative error below 2e-7; 0 below -87.3, infinity above 88.7.
 * x = k ln 2 + r, |r| <= ln 2 / 2: e^x = 2^k e^r, with ln 2 in two parts and a polynomial for e^r (Cephes expf). */
static inline float mq_exp(float x) {
    if (x > 88.7f) {
        return mq_float_of(0x7f800000u);
    }
    if (!(x > -87.3f)) {
        return x < 0.0f ? 0.0f : x; /* NaN stays NaN */
    }
    const int32_t k = mq_round(x * 1.44269504f);
    const float kf = (float)k;
    const float r = (x - kf * 0.693359375f) + kf * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    const float e = (p * r) * r + r + 1.0f;
    /* two factors, because 2^128 is not a float */
    const int32_t half = k / 2;
    const float first = mq_float_of((uint32_t)(half + 127) << 23);
    const float second = mq_float_of((uint32_t)(k - half + 127) << 23);
    return e * first * second;
}

/* 1 / (1 + e^-x), without overflow on either side. */
static inline float mq_sigmoid(float x) {
    const float e = mq_exp(x < 0.0f ? x : -x);
    const float d = 1.0f + e;
    return x < 0.0f ? e / d : 1.0f / d;
}

/* tanh, relative error below 3e-7: an odd polynomial near 0 (Cephes tanhf), 1 - 2 / (e^2|x| + 1) elsewhere. */
static inline float mq_tanh(float x) {
    const float a = x < 0.0f ? -x : x;
    if (a < 0.625f) {
        const float z = x * x;
        float p = -5.70498872745e-3f;
        p = p * z + 2.06390887954e-2f;
        p = p * z - 5.37397155531e-2f;
        p = p * z + 1.33314422036e-1f;
        p = p * z - 3.33332819422e-1f;
        return (p * z) * x + x;
    }
    const float t = a > 9.1f ? 1.0f : 1.0f - 2.0f / (mq_exp(2.0f * a) + 1.0f);
    return x < 0.0f ? -t : t;
}

#endif
