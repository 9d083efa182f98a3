/* The Helium intrinsics that kernels use (Arm C Language Extensions, arm_mve.h), modelled in C for other machines.
 *
 * So the very source that is flashed is compiled and tested on a PC. Each function has the name and the meaning of the
 * intrinsic; tests/test_isa_mve.py compares all of them with an emulated Cortex-M55, bit by bit. Sums are modulo 2^32,
 * as in the core's registers. Predicates are those of VCTP and VCMP: all bits of a lane are equal.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_MODEL_H
#define MQ_MVE_MODEL_H

#include "mq_base.h"

typedef struct {
    int8_t lane[16];
} int8x16_t;
typedef struct {
    uint8_t lane[16];
} uint8x16_t;
typedef struct {
    int16_t lane[8];
} int16x8_t;
typedef struct {
    uint16_t lane[8];
} uint16x8_t;
typedef struct {
    int32_t lane[4];
} int32x4_t;
typedef struct {
    uint32_t lane[4];
} uint32x4_t;
typedef uint16_t mve_pred16_t;

/* The low bits of a number. */
static inline int8_t mq_low_s8(int64_t x) {
    return (int8_t)((int32_t)(((uint64_t)x & 0xffu) ^ 0x80u) - 0x80);
}

static inline int16_t mq_low_s16(int64_t x) {
    return (int16_t)((int32_t)(((uint64_t)x & 0xffffu) ^ 0x8000u) - 0x8000);
}

static inline int32_t mq_low_s32(int64_t x) {
    return (int32_t)((int64_t)(((uint64_t)x & 0xffffffffu) ^ 0x80000000u) - (int64_t)0x80000000);
}

static inline int32_t mq_saturated_s32(int64_t x) {
    return (int32_t)(x > INT32_MAX ? INT32_MAX : (x < INT32_MIN ? INT32_MIN : x));
}

/* A function whose lane i is `value`. */
#define MQ_LANES(vector, lanes, name, arguments, value)                                                                \
    static inline vector name arguments {                                                                              \
        vector v;                                                                                                      \
        for (uint32_t i = 0; i < lanes; i++) {                                                                         \
            v.lane[i] = value;                                                                                         \
        }                                                                                                              \
        return v;                                                                                                      \
    }

/* --- predicates --- */

static inline mve_pred16_t vctp8q(uint32_t n) {
    return (mve_pred16_t)(n >= 16u ? 0xffffu : (1u << n) - 1u);
}

static inline mve_pred16_t vctp16q(uint32_t n) {
    return vctp8q(n >= 8u ? 16u : 2u * n);
}

static inline mve_pred16_t vctp32q(uint32_t n) {
    return vctp8q(n >= 4u ? 16u : 4u * n);
}

/* Is lane i of `bytes` bytes in the predicate? */
static inline int mq_lane_in(mve_pred16_t p, uint32_t i, uint32_t bytes) {
    return (p >> (i * bytes)) & 1;
}

/* --- loads and stores --- */

#define MQ_LOAD(vector, lanes, name, type) MQ_LANES(vector, lanes, name, (const type *p), p[i])
#define MQ_LOAD_SOME(vector, lanes, name, type)                                                                        \
    MQ_LANES(vector, lanes, name, (const type *p, mve_pred16_t m), (type)(mq_lane_in(m, i, 16u / lanes) ? p[i] : 0))

MQ_LOAD(int8x16_t, 16u, vldrbq_s8, int8_t)
MQ_LOAD(uint8x16_t, 16u, vldrbq_u8, uint8_t)
MQ_LOAD(int16x8_t, 8u, vldrbq_s16, int8_t)
MQ_LOAD(uint16x8_t, 8u, vldrbq_u16, uint8_t)
MQ_LOAD(int32x4_t, 4u, vldrbq_s32, int8_t)
MQ_LOAD(int16x8_t, 8u, vldrhq_s16, int16_t)
MQ_LOAD(int32x4_t, 4u, vldrhq_s32, int16_t)
MQ_LOAD(int32x4_t, 4u, vldrwq_s32, int32_t)
MQ_LOAD(uint32x4_t, 4u, vldrwq_u32, uint32_t)
MQ_LOAD(uint16x8_t, 8u, vldrhq_u16, uint16_t)

MQ_LOAD_SOME(int8x16_t, 16u, vldrbq_z_s8, int8_t)
MQ_LOAD_SOME(uint8x16_t, 16u, vldrbq_z_u8, uint8_t)
MQ_LOAD_SOME(int16x8_t, 8u, vldrbq_z_s16, int8_t)
MQ_LOAD_SOME(int16x8_t, 8u, vldrhq_z_s16, int16_t)
MQ_LOAD_SOME(int32x4_t, 4u, vldrbq_z_s32, int8_t)
MQ_LOAD_SOME(int32x4_t, 4u, vldrhq_z_s32, int16_t)
MQ_LOAD_SOME(int32x4_t, 4u, vldrwq_z_s32, int32_t)

/* Lane i from `offset[i]` elements behind p. */
MQ_LANES(int32x4_t, 4u, vldrhq_gather_shifted_offset_s32, (const int16_t *p, uint32x4_t offset), p[offset.lane[i]])

MQ_LANES(int8x16_t, 16u, vldrbq_gather_offset_s8, (const int8_t *p, uint8x16_t offset), p[offset.lane[i]])
MQ_LANES(int8x16_t, 16u, vldrbq_gather_offset_z_s8, (const int8_t *p, uint8x16_t offset, mve_pred16_t m),
         (int8_t)(mq_lane_in(m, i, 1u) ? p[offset.lane[i]] : 0))
MQ_LANES(int16x8_t, 8u, vldrbq_gather_offset_s16, (const int8_t *p, uint16x8_t offset), p[offset.lane[i]])
MQ_LANES(int16x8_t, 8u, vldrbq_gather_offset_z_s16, (const int8_t *p, uint16x8_t offset, mve_pred16_t m),
         (int16_t)(mq_lane_in(m, i, 2u) ? p[offset.lane[i]] : 0))
MQ_LANES(int16x8_t, 8u, vldrhq_gather_shifted_offset_s16, (const int16_t *p, uint16x8_t offset), p[offset.lane[i]])
MQ_LANES(int16x8_t, 8u, vldrhq_gather_shifted_offset_z_s16, (const int16_t *p, uint16x8_t offset, mve_pred16_t m),
         (int16_t)(mq_lane_in(m, i, 2u) ? p[offset.lane[i]] : 0))
MQ_LANES(int32x4_t, 4u, vldrbq_gather_offset_s32, (const int8_t *p, uint32x4_t offset), p[offset.lane[i]])
MQ_LANES(int32x4_t, 4u, vldrbq_gather_offset_z_s32, (const int8_t *p, uint32x4_t offset, mve_pred16_t m),
         mq_lane_in(m, i, 4u) ? p[offset.lane[i]] : 0)
MQ_LANES(int32x4_t, 4u, vldrhq_gather_shifted_offset_z_s32, (const int16_t *p, uint32x4_t offset, mve_pred16_t m),
         mq_lane_in(m, i, 4u) ? p[offset.lane[i]] : 0)

MQ_LANES(uint32x4_t, 4u, vldrwq_gather_shifted_offset_u32, (const uint32_t *p, uint32x4_t offset), p[offset.lane[i]])
MQ_LANES(uint32x4_t, 4u, vldrwq_gather_shifted_offset_z_u32, (const uint32_t *p, uint32x4_t offset, mve_pred16_t m),
         mq_lane_in(m, i, 4u) ? p[offset.lane[i]] : 0)

#define MQ_STORE(vector, lanes, name, type, low)                                                                       \
    static inline void name(type *p, vector a) {                                                                       \
        for (uint32_t i = 0; i < lanes; i++) {                                                                         \
            p[i] = low(a.lane[i]);                                                                                     \
        }                                                                                                              \
    }
#define MQ_STORE_SOME(vector, lanes, name, type, low)                                                                  \
    static inline void name(type *p, vector a, mve_pred16_t m) {                                                       \
        for (uint32_t i = 0; i < lanes; i++) {                                                                         \
            if (mq_lane_in(m, i, 16u / lanes)) {                                                                       \
                p[i] = low(a.lane[i]);                                                                                 \
            }                                                                                                          \
        }                                                                                                              \
    }

MQ_STORE(int8x16_t, 16u, vstrbq_s8, int8_t, mq_low_s8)
MQ_STORE(int32x4_t, 4u, vstrbq_s32, int8_t, mq_low_s8)
MQ_STORE(int16x8_t, 8u, vstrbq_s16, int8_t, mq_low_s8)
MQ_STORE(int16x8_t, 8u, vstrhq_s16, int16_t, mq_low_s16)
MQ_STORE(int32x4_t, 4u, vstrhq_s32, int16_t, mq_low_s16)
MQ_STORE(int32x4_t, 4u, vstrwq_s32, int32_t, mq_low_s32)

MQ_STORE_SOME(int8x16_t, 16u, vstrbq_p_s8, int8_t, mq_low_s8)
MQ_STORE_SOME(int16x8_t, 8u, vstrhq_p_s16, int16_t, mq_low_s16)
MQ_STORE_SOME(int32x4_t, 4u, vstrbq_p_s32, int8_t, mq_low_s8)
MQ_STORE_SOME(int32x4_t, 4u, vstrhq_p_s32, int16_t, mq_low_s16)
MQ_STORE_SOME(int32x4_t, 4u, vstrwq_p_s32, int32_t, mq_low_s32)

#define MQ_SCATTER(vector, lanes, offsets, name, type, low)                                                            \
    static inline void name(type *p, offsets offset, vector a) {                                                       \
        for (uint32_t i = 0; i < lanes; i++) {                                                                         \
            p[offset.lane[i]] = low(a.lane[i]);                                                                        \
        }                                                                                                              \
    }
#define MQ_SCATTER_SOME(vector, lanes, offsets, name, type, low)                                                       \
    static inline void name(type *p, offsets offset, vector a, mve_pred16_t m) {                                       \
        for (uint32_t i = 0; i < lanes; i++) {                                                                         \
            if (mq_lane_in(m, i, 16u / lanes)) {                                                                       \
                p[offset.lane[i]] = low(a.lane[i]);                                                                    \
            }                                                                                                          \
        }                                                                                                              \
    }

MQ_SCATTER(int32x4_t, 4u, uint32x4_t, vstrbq_scatter_offset_s32, int8_t, mq_low_s8)
MQ_SCATTER(int32x4_t, 4u, uint32x4_t, vstrhq_scatter_shifted_offset_s32, int16_t, mq_low_s16)
MQ_SCATTER_SOME(int32x4_t, 4u, uint32x4_t, vstrbq_scatter_offset_p_s32, int8_t, mq_low_s8)
MQ_SCATTER_SOME(int32x4_t, 4u, uint32x4_t, vstrhq_scatter_shifted_offset_p_s32, int16_t, mq_low_s16)
MQ_SCATTER_SOME(int16x8_t, 8u, uint16x8_t, vstrbq_scatter_offset_p_s16, int8_t, mq_low_s8)
MQ_SCATTER_SOME(int16x8_t, 8u, uint16x8_t, vstrhq_scatter_shifted_offset_p_s16, int16_t, mq_low_s16)

/* --- lanes --- */

MQ_LANES(int8x16_t, 16u, vdupq_n_s8, (int8_t a), a)
MQ_LANES(uint8x16_t, 16u, vdupq_n_u8, (uint8_t a), a)
MQ_LANES(uint8x16_t, 16u, veorq_u8, (uint8x16_t a, uint8x16_t b), a.lane[i] ^ b.lane[i])
MQ_LANES(int16x8_t, 8u, vdupq_n_s16, (int16_t a), a)
MQ_LANES(int32x4_t, 4u, vdupq_n_s32, (int32_t a), a)

MQ_LANES(int32x4_t, 4u, vaddq_s32, (int32x4_t a, int32x4_t b), mq_low_s32((int64_t)a.lane[i] + b.lane[i]))
MQ_LANES(int32x4_t, 4u, vaddq_n_s32, (int32x4_t a, int32_t b), mq_low_s32((int64_t)a.lane[i] + b))
MQ_LANES(uint16x8_t, 8u, vaddq_n_u16, (uint16x8_t a, uint16_t b), (uint16_t)(a.lane[i] + b))
MQ_LANES(int16x8_t, 8u, vsubq_n_s16, (int16x8_t a, int16_t b), mq_low_s16((int64_t)a.lane[i] - b))
MQ_LANES(int32x4_t, 4u, vsubq_n_s32, (int32x4_t a, int32_t b), mq_low_s32((int64_t)a.lane[i] - b))
MQ_LANES(int32x4_t, 4u, vmaxq_s32, (int32x4_t a, int32x4_t b), a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i])
MQ_LANES(int32x4_t, 4u, vminq_s32, (int32x4_t a, int32x4_t b), a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i])

MQ_LANES(int32x4_t, 4u, vsubq_s32, (int32x4_t a, int32x4_t b), mq_low_s32((int64_t)a.lane[i] - b.lane[i]))
MQ_LANES(int32x4_t, 4u, vmulq_s32, (int32x4_t a, int32x4_t b), mq_low_s32((int64_t)a.lane[i] * b.lane[i]))
MQ_LANES(int32x4_t, 4u, vmulq_n_s32, (int32x4_t a, int32_t b), mq_low_s32((int64_t)a.lane[i] * b))
MQ_LANES(int32x4_t, 4u, vmlaq_n_s32, (int32x4_t a, int32x4_t b, int32_t c),
         mq_low_s32((int64_t)mq_low_s32((int64_t)b.lane[i] * c) + a.lane[i]))
MQ_LANES(int32x4_t, 4u, vandq_s32, (int32x4_t a, int32x4_t b), a.lane[i] & b.lane[i])
MQ_LANES(int32x4_t, 4u, vshlq_n_s32, (int32x4_t a, const int imm), mq_low_s32((int64_t)a.lane[i] * ((int64_t)1 << imm)))
MQ_LANES(int32x4_t, 4u, vshrq_n_s32, (int32x4_t a, const int imm), a.lane[i] >> imm)
MQ_LANES(int32x4_t, 4u, vrshrq_n_s32, (int32x4_t a, const int imm),
         (int32_t)(((int64_t)a.lane[i] + ((int64_t)1 << (imm - 1))) >> imm))
MQ_LANES(uint32x4_t, 4u, vreinterpretq_u32_s32, (int32x4_t a), (uint32_t)a.lane[i])

/* High word of the product. */
MQ_LANES(int32x4_t, 4u, vmulhq_s32, (int32x4_t a, int32x4_t b), (int32_t)(((int64_t)a.lane[i] * b.lane[i]) >> 32))

/* The same, rounded. */
MQ_LANES(int32x4_t, 4u, vrmulhq_s32, (int32x4_t a, int32x4_t b),
         (int32_t)(((int64_t)a.lane[i] * b.lane[i] + ((int64_t)1 << 31)) >> 32))

/* High word of twice the product; it saturates where both are -2^31. */
MQ_LANES(int32x4_t, 4u, vqdmulhq_s32, (int32x4_t a, int32x4_t b),
         mq_saturated_s32(((int64_t)a.lane[i] * b.lane[i]) >> 31))

/* Shifts to the left by the low byte of a lane, to the right where it is negative: VQSHL saturates and rounds down,
 * VRSHL is modulo 2^32 and rounds half up. */
static inline int32_t mq_vqshl(int32_t x, int32_t by) {
    const int32_t shift = mq_low_s8(by);
    if (shift >= 0) {
        const int64_t sign = (x > 0) - (x < 0);
        return mq_saturated_s32(shift > 31 ? sign * ((int64_t)1 << 32) : (int64_t)x * ((int64_t)1 << shift));
    }
    return x >> (shift < -31 ? 31 : -shift);
}

static inline int32_t mq_vrshl(int32_t x, int32_t by) {
    const int32_t shift = mq_low_s8(by);
    if (shift >= 0) {
        return shift > 31 ? 0 : mq_low_s32((int64_t)x * ((int64_t)1 << shift));
    }
    return shift < -31 ? 0 : (int32_t)(((int64_t)x + ((int64_t)1 << (-shift - 1))) >> -shift);
}

MQ_LANES(int32x4_t, 4u, vqdmulhq_n_s32, (int32x4_t a, int32_t b), mq_saturated_s32(((int64_t)a.lane[i] * b) >> 31))
MQ_LANES(int32x4_t, 4u, vqshlq_r_s32, (int32x4_t a, int32_t b), mq_vqshl(a.lane[i], b))
MQ_LANES(int32x4_t, 4u, vrshlq_n_s32, (int32x4_t a, int32_t b), mq_vrshl(a.lane[i], b))
MQ_LANES(int32x4_t, 4u, vqshlq_s32, (int32x4_t a, int32x4_t b), mq_vqshl(a.lane[i], b.lane[i]))
MQ_LANES(int32x4_t, 4u, vrshlq_s32, (int32x4_t a, int32x4_t b), mq_vrshl(a.lane[i], b.lane[i]))

MQ_LANES(uint32x4_t, 4u, vshrq_n_u32, (uint32x4_t a, const int imm), a.lane[i] >> imm)
MQ_LANES(uint32x4_t, 4u, vmulq_n_u32, (uint32x4_t a, uint32_t b), a.lane[i] * b)
MQ_LANES(int32x4_t, 4u, vreinterpretq_s32_u32, (uint32x4_t a), mq_low_s32(a.lane[i]))
MQ_LANES(int32x4_t, 4u, vpselq_s32, (int32x4_t a, int32x4_t b, mve_pred16_t m),
         mq_lane_in(m, i, 4u) ? a.lane[i] : b.lane[i])

/* VRSHL without signs. */
static inline uint32_t mq_vrshl_u32(uint32_t x, int32_t by) {
    const int32_t shift = mq_low_s8(by);
    if (shift >= 0) {
        return shift > 31 ? 0u : x << shift;
    }
    return shift < -32 ? 0u : (uint32_t)(((uint64_t)x + ((uint64_t)1 << (-shift - 1))) >> -shift);
}

MQ_LANES(uint32x4_t, 4u, vrshlq_u32, (uint32x4_t a, int32x4_t b), mq_vrshl_u32(a.lane[i], b.lane[i]))

/* --- sums over lanes --- */

static inline uint64_t vaddlvaq_u32(uint64_t a, uint32x4_t x) {
    return a + x.lane[0] + x.lane[1] + x.lane[2] + x.lane[3];
}

static inline int32_t vmaxvq_s32(int32_t a, int32x4_t x) {
    for (uint32_t i = 0; i < 4u; i++) {
        a = x.lane[i] > a ? x.lane[i] : a;
    }
    return a;
}

static inline int32_t vaddvaq_s8(int32_t a, int8x16_t x) {
    int64_t sum = a;
    for (uint32_t i = 0; i < 16u; i++) {
        sum += x.lane[i];
    }
    return mq_low_s32(sum);
}

static inline int32_t vaddvaq_s16(int32_t a, int16x8_t x) {
    int64_t sum = a;
    for (uint32_t i = 0; i < 8u; i++) {
        sum += x.lane[i];
    }
    return mq_low_s32(sum);
}

static inline int32_t vaddvaq_p_s16(int32_t a, int16x8_t x, mve_pred16_t m) {
    int64_t sum = a;
    for (uint32_t i = 0; i < 8u; i++) {
        sum += mq_lane_in(m, i, 2u) ? x.lane[i] : 0;
    }
    return mq_low_s32(sum);
}

static inline int64_t vmlaldavaq_s16(int64_t a, int16x8_t x, int16x8_t y) {
    uint64_t sum = (uint64_t)a;
    for (uint32_t i = 0; i < 8u; i++) {
        sum += (uint64_t)((int64_t)x.lane[i] * y.lane[i]);
    }
    return (int64_t)sum;
}

#define MQ_SUM(vector, lanes, name)                                                                                    \
    static inline int32_t name(int32_t a, vector x, vector y) {                                                        \
        uint32_t sum = (uint32_t)a;                                                                                    \
        for (uint32_t i = 0; i < lanes; i++) {                                                                         \
            sum += (uint32_t)x.lane[i] * (uint32_t)y.lane[i];                                                          \
        }                                                                                                              \
        return (int32_t)sum;                                                                                           \
    }

MQ_SUM(int8x16_t, 16u, vmladavaq_s8)
MQ_SUM(int16x8_t, 8u, vmladavaq_s16)

static inline int32_t vmladavq_s8(int8x16_t x, int8x16_t y) {
    return vmladavaq_s8(0, x, y);
}

static inline int32_t vmladavq_s16(int16x8_t x, int16x8_t y) {
    return vmladavaq_s16(0, x, y);
}

#include "mq_mve_model_complex.h"
#include "mq_mve_model_wide.h"

#endif
