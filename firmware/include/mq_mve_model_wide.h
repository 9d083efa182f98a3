/* Helium's intrinsics for values of 64 bits in two vectors, and for pairs taken apart, modelled in C; mq_mve_model.h
 * includes this file. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_MODEL_WIDE_H
#define MQ_MVE_MODEL_WIDE_H

#include "mq_mve_model_float.h"

typedef struct {
    int32x4_t val[2];
} int32x4x2_t;
typedef struct {
    float32x4_t val[2];
} float32x4x2_t;

/* Four pairs: their first parts, and their second ones. */
#define MQ_LOAD_PAIRS(vectors, name, type)                                                                             \
    static inline vectors name(const type *p) {                                                                        \
        vectors v;                                                                                                     \
        for (uint32_t i = 0; i < 8u; i++) {                                                                            \
            v.val[i % 2u].lane[i / 2u] = p[i];                                                                         \
        }                                                                                                              \
        return v;                                                                                                      \
    }

MQ_LOAD_PAIRS(int32x4x2_t, vld2q_s32, int32_t)
MQ_LOAD_PAIRS(float32x4x2_t, vld2q_f32, float)

MQ_STORE(uint32x4_t, 4u, vstrwq_u32, uint32_t, MQ_AS_IT_IS)
MQ_LOAD_SOME(uint32x4_t, 4u, vldrwq_z_u32, uint32_t)

MQ_LANES(uint32x4_t, 4u, vdupq_n_u32, (uint32_t a), a)
MQ_LANES(uint32x4_t, 4u, vaddq_u32, (uint32x4_t a, uint32x4_t b), a.lane[i] + b.lane[i])
MQ_LANES(uint32x4_t, 4u, vsubq_u32, (uint32x4_t a, uint32x4_t b), a.lane[i] - b.lane[i])
MQ_LANES(uint32x4_t, 4u, vmulq_u32, (uint32x4_t a, uint32x4_t b), a.lane[i] * b.lane[i])
MQ_LANES(uint32x4_t, 4u, vorrq_u32, (uint32x4_t a, uint32x4_t b), a.lane[i] | b.lane[i])
MQ_LANES(uint32x4_t, 4u, vshlq_n_u32, (uint32x4_t a, const int imm), a.lane[i] << imm)

/* Half of the sum, of 33 bits, rounded down. */
MQ_LANES(uint32x4_t, 4u, vhaddq_u32, (uint32x4_t a, uint32x4_t b), (uint32_t)(((uint64_t)a.lane[i] + b.lane[i]) >> 1))

/* Leading zeros; 32 of 0. */
static inline uint32_t mq_leading_zeros(uint32_t x) {
    uint32_t n = 0;
    for (; n < 32u && !(x >> (31u - n)); n++) {
    }
    return n;
}

MQ_LANES(uint32x4_t, 4u, vclzq_u32, (uint32x4_t a), mq_leading_zeros(a.lane[i]))

/* Shifts to the left by the low byte of a lane, to the right where it is negative; rounded down. */
static inline uint32_t mq_vshl_u32(uint32_t x, int32_t by) {
    const int32_t shift = mq_low_s8(by);
    if (shift >= 0) {
        return shift > 31 ? 0u : x << shift;
    }
    return shift < -31 ? 0u : x >> -shift;
}

MQ_LANES(uint32x4_t, 4u, vshlq_u32, (uint32x4_t a, int32x4_t b), mq_vshl_u32(a.lane[i], b.lane[i]))

/* To f32, rounded to nearest even; to u32, towards 0, limited to 32 bits. */
static inline uint32_t mq_vcvt_u32(float x) {
    return x >= 4294967296.0f ? UINT32_MAX : (x > 0.0f ? (uint32_t)x : 0u);
}

MQ_LANES(float32x4_t, 4u, vcvtq_f32_u32, (uint32x4_t a), (float)a.lane[i])
MQ_LANES(uint32x4_t, 4u, vcvtq_u32_f32, (float32x4_t a), mq_vcvt_u32(a.lane[i]))

/* The sum of a and of four products, modulo 2^64. */
static inline uint64_t vmlaldavaq_u32(uint64_t a, uint32x4_t x, uint32x4_t y) {
    for (uint32_t i = 0; i < 4u; i++) {
        a += (uint64_t)x.lane[i] * y.lane[i];
    }
    return a;
}

static inline int32_t vminvq_s32(int32_t a, int32x4_t x) {
    for (uint32_t i = 0; i < 4u; i++) {
        a = x.lane[i] < a ? x.lane[i] : a;
    }
    return a;
}

#endif
