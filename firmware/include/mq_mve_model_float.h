/* The floating-point intrinsics of Helium that kernels use, modelled in C; mq_mve_model.h includes this file.
 *
 * As the core computes: vectors of f16 keep subnormal numbers, vectors of f32 take them for 0 and write 0 for them, and
 * what is not a number is always the same one. Everything is rounded to nearest even. Products and sums of f16 are made
 * in f64, which holds a product exactly and a sum so far that rounding it to f16 gives what rounding the true sum
 * would. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_MODEL_FLOAT_H
#define MQ_MVE_MODEL_FLOAT_H

#include <math.h>

#include "mq_float.h"
#include "mq_mve_model.h"

typedef struct {
    mq_f16 lane[8];
} float16x8_t;
typedef struct {
    float lane[4];
} float32x4_t;

static inline uint64_t mq_bits_of_double(double x) {
    uint64_t u;
    MQ_COPY(&u, &x, sizeof u);
    return u;
}

static inline double mq_double_of(uint64_t u) {
    double x;
    MQ_COPY(&x, &u, sizeof x);
    return x;
}

/* Rounded once, half to even. */
static inline mq_f16 mq_half_of(double x) {
    const uint64_t u = mq_bits_of_double(x);
    const uint16_t sign = (uint16_t)((u >> 48) & 0x8000u);
    const double magnitude = mq_double_of(u & 0x7fffffffffffffffu);
    if (!(magnitude < 65520.0)) {
        return (mq_f16)(magnitude >= 65520.0 ? sign | 0x7c00u : 0x7e00u);
    }
    if (magnitude < 0x1p-14) { /* a multiple of 2^-24 */
        return (mq_f16)(sign | (uint16_t)(mq_bits_of_double(magnitude + 0x1p28) & 0xffffu));
    }
    const uint64_t v = mq_bits_of_double(magnitude);
    const uint64_t rounded = (v + 0x1ffffffffffu + ((v >> 42) & 1u)) >> 42;
    return (mq_f16)(sign | (uint16_t)(rounded - ((uint64_t)1008 << 10)));
}

static inline double mq_of_half(mq_f16 h) {
    return (double)mq_f16_to_f32(h);
}

/* A subnormal operand is 0. */
static inline float mq_flushed(float x) {
    const uint32_t u = mq_bits_of(x);
    return (u & 0x7f800000u) ? x : mq_float_of(u & 0x80000000u);
}

/* A result that is below the normal numbers before it is rounded is 0; NaN is the core's. */
static inline float mq_result(double exact, float rounded) {
    if (!(rounded == rounded)) {
        return MQ_NAN;
    }
    return exact > -0x1p-126 && exact < 0x1p-126 ? mq_copysign(0.0f, rounded) : rounded;
}

static inline float mq_model_add(float x, float y) {
    const double exact = (double)mq_flushed(x) + (double)mq_flushed(y);
    return mq_result(exact, (float)exact);
}

static inline float mq_model_mul(float x, float y) {
    const double exact = (double)mq_flushed(x) * (double)mq_flushed(y);
    return mq_result(exact, (float)exact);
}

static inline float mq_model_fma(float a, float x, float y) {
    const double near = (double)mq_flushed(x) * (double)mq_flushed(y) + (double)mq_flushed(a);
    return mq_result(near, fmaf(mq_flushed(x), mq_flushed(y), mq_flushed(a)));
}

static inline float mq_model_rint(float x) {
    x = mq_flushed(x);
    const float whole = mq_rint(x);
    return whole == whole ? mq_copysign(whole, x) : MQ_NAN;
}

/* The larger (smaller, with both negated) of two numbers; that which is a number, where the other is a quiet NaN. */
static inline float mq_model_max(float x, float y) {
    x = mq_flushed(x);
    y = mq_flushed(y);
    const int signals = (x != x && !(mq_bits_of(x) & 0x400000u)) || (y != y && !(mq_bits_of(y) & 0x400000u));
    if (signals || (x != x && y != y)) {
        return MQ_NAN;
    }
    if (x != x || y != y) {
        return x == x ? x : y;
    }
    return x > y || (x == y && !(mq_bits_of(x) >> 31)) ? x : y;
}

static inline float mq_model_min(float x, float y) {
    const float largest =
        mq_model_max(mq_float_of(mq_bits_of(x) ^ 0x80000000u), mq_float_of(mq_bits_of(y) ^ 0x80000000u));
    return largest == largest ? mq_float_of(mq_bits_of(largest) ^ 0x80000000u) : largest;
}

/* Towards 0, saturating; 0 for NaN. */
static inline int32_t mq_model_to_s32(float x) {
    if (!(x > -2147483648.0f)) {
        return x == x ? INT32_MIN : 0;
    }
    return x < 2147483648.0f ? (int32_t)x : INT32_MAX;
}

static inline uint32_t mq_lanes_where(uint32_t lane, uint32_t bytes, int condition) {
    return condition ? ((1u << bytes) - 1u) << (lane * bytes) : 0u;
}

/* --- loads, stores, lanes --- */

MQ_LOAD(float32x4_t, 4u, vldrwq_f32, float)
MQ_LOAD_SOME(float32x4_t, 4u, vldrwq_z_f32, float)
MQ_LOAD(uint32x4_t, 4u, vldrhq_u32, uint16_t)
MQ_LOAD_SOME(uint32x4_t, 4u, vldrhq_z_u32, uint16_t)
MQ_LOAD_SOME(uint16x8_t, 8u, vldrhq_z_u16, uint16_t)
MQ_LANES(float32x4_t, 4u, vldrwq_gather_shifted_offset_z_f32, (const float *p, uint32x4_t offset, mve_pred16_t m),
         mq_lane_in(m, i, 4u) ? p[offset.lane[i]] : 0.0f)
MQ_LANES(float32x4_t, 4u, vldrwq_gather_shifted_offset_f32, (const float *p, uint32x4_t offset), p[offset.lane[i]])
MQ_LANES(uint16x8_t, 8u, vldrhq_gather_shifted_offset_z_u16, (const uint16_t *p, uint16x8_t offset, mve_pred16_t m),
         (uint16_t)(mq_lane_in(m, i, 2u) ? p[offset.lane[i]] : 0))

MQ_LANES(uint32x4_t, 4u, vldrhq_gather_shifted_offset_z_u32, (const uint16_t *p, uint32x4_t offset, mve_pred16_t m),
         mq_lane_in(m, i, 4u) ? p[offset.lane[i]] : 0u)

#define MQ_AS_IT_IS(x) (x)
MQ_STORE(float32x4_t, 4u, vstrwq_f32, float, MQ_AS_IT_IS)
MQ_STORE(uint16x8_t, 8u, vstrhq_u16, uint16_t, MQ_AS_IT_IS)
MQ_STORE(uint32x4_t, 4u, vstrhq_u32, uint16_t, (uint16_t))
MQ_STORE_SOME(uint32x4_t, 4u, vstrhq_p_u32, uint16_t, (uint16_t))
MQ_STORE_SOME(float32x4_t, 4u, vstrwq_p_f32, float, MQ_AS_IT_IS)
MQ_STORE_SOME(uint16x8_t, 8u, vstrhq_p_u16, uint16_t, MQ_AS_IT_IS)
MQ_SCATTER_SOME(float32x4_t, 4u, uint32x4_t, vstrwq_scatter_shifted_offset_p_f32, float, MQ_AS_IT_IS)
MQ_SCATTER_SOME(uint32x4_t, 4u, uint32x4_t, vstrhq_scatter_shifted_offset_p_u32, uint16_t, (uint16_t))
MQ_SCATTER_SOME(uint16x8_t, 8u, uint16x8_t, vstrhq_scatter_shifted_offset_p_u16, uint16_t, MQ_AS_IT_IS)

MQ_LANES(float32x4_t, 4u, vdupq_n_f32, (float a), a)
MQ_LANES(uint16x8_t, 8u, vdupq_n_u16, (uint16_t a), a)

#define MQ_REINTERPRET(to, name, from)                                                                                 \
    static inline to name(from a) {                                                                                    \
        to r;                                                                                                          \
        MQ_COPY(&r, &a, sizeof r);                                                                                     \
        return r;                                                                                                      \
    }

MQ_REINTERPRET(float16x8_t, vreinterpretq_f16_u16, uint16x8_t)
MQ_REINTERPRET(uint16x8_t, vreinterpretq_u16_f16, float16x8_t)
MQ_REINTERPRET(float16x8_t, vreinterpretq_f16_u32, uint32x4_t)
MQ_REINTERPRET(uint32x4_t, vreinterpretq_u32_f16, float16x8_t)
MQ_REINTERPRET(float32x4_t, vreinterpretq_f32_s32, int32x4_t)
MQ_REINTERPRET(int32x4_t, vreinterpretq_s32_f32, float32x4_t)

/* --- half precision --- */

MQ_LANES(float16x8_t, 8u, vaddq_f16, (float16x8_t a, float16x8_t b),
         mq_half_of(mq_of_half(a.lane[i]) + mq_of_half(b.lane[i])))
MQ_LANES(float16x8_t, 8u, vsubq_f16, (float16x8_t a, float16x8_t b),
         mq_half_of(mq_of_half(a.lane[i]) - mq_of_half(b.lane[i])))
MQ_LANES(float16x8_t, 8u, vmulq_f16, (float16x8_t a, float16x8_t b),
         mq_half_of(mq_of_half(a.lane[i]) * mq_of_half(b.lane[i])))
MQ_LANES(float16x8_t, 8u, vfmaq_f16, (float16x8_t a, float16x8_t b, float16x8_t c),
         mq_half_of(mq_of_half(b.lane[i]) * mq_of_half(c.lane[i]) + mq_of_half(a.lane[i])))
MQ_LANES(float16x8_t, 8u, vpselq_f16, (float16x8_t a, float16x8_t b, mve_pred16_t m),
         mq_lane_in(m, i, 2u) ? a.lane[i] : b.lane[i])

#define MQ_COMPARE(vector, lanes, name, condition)                                                                     \
    static inline mve_pred16_t name(vector a, vector b) {                                                              \
        uint32_t m = 0;                                                                                                \
        for (uint32_t i = 0; i < lanes; i++) {                                                                         \
            m |= mq_lanes_where(i, 16u / lanes, condition);                                                            \
        }                                                                                                              \
        return (mve_pred16_t)m;                                                                                        \
    }

#define MQ_COMPARE_ALL(vector, lanes, name, type, condition)                                                           \
    static inline mve_pred16_t name(vector a, type b) {                                                                \
        uint32_t m = 0;                                                                                                \
        for (uint32_t i = 0; i < lanes; i++) {                                                                         \
            m |= mq_lanes_where(i, 16u / lanes, condition);                                                            \
        }                                                                                                              \
        return (mve_pred16_t)m;                                                                                        \
    }

MQ_COMPARE_ALL(int16x8_t, 8u, vcmpgeq_n_s16, int16_t, a.lane[i] >= b)
MQ_COMPARE_ALL(int16x8_t, 8u, vcmpltq_n_s16, int16_t, a.lane[i] < b)
MQ_COMPARE(float16x8_t, 8u, vcmpgtq_f16, mq_of_half(a.lane[i]) > mq_of_half(b.lane[i]))

/* --- between half and single precision: VCVTB and VCVTT; mq_mve.h says why they have names of their own --- */

static inline float mq_widened(mq_f16 h) {
    const float x = mq_f16_to_f32(h);
    return x == x ? x : MQ_NAN;
}

static inline mq_f16 mq_narrowed(float x) {
    return x == x ? mq_half_of((double)mq_flushed(x)) : (mq_f16)0x7e00u;
}

MQ_LANES(float32x4_t, 4u, mq_widen_even, (float16x8_t a), mq_widened(a.lane[2u * i]))
MQ_LANES(float32x4_t, 4u, mq_widen_odd, (float16x8_t a), mq_widened(a.lane[2u * i + 1u]))

static inline float16x8_t mq_narrow_even(float16x8_t a, float32x4_t b) {
    for (uint32_t i = 0; i < 4u; i++) {
        a.lane[2u * i] = mq_narrowed(b.lane[i]);
    }
    return a;
}

static inline float16x8_t mq_narrow_odd(float16x8_t a, float32x4_t b) {
    for (uint32_t i = 0; i < 4u; i++) {
        a.lane[2u * i + 1u] = mq_narrowed(b.lane[i]);
    }
    return a;
}

/* --- single precision --- */

MQ_LANES(float32x4_t, 4u, vaddq_f32, (float32x4_t a, float32x4_t b), mq_model_add(a.lane[i], b.lane[i]))
MQ_LANES(float32x4_t, 4u, vsubq_f32, (float32x4_t a, float32x4_t b), mq_model_add(a.lane[i], -b.lane[i]))
MQ_LANES(float32x4_t, 4u, vmulq_f32, (float32x4_t a, float32x4_t b), mq_model_mul(a.lane[i], b.lane[i]))
MQ_LANES(float32x4_t, 4u, vaddq_n_f32, (float32x4_t a, float b), mq_model_add(a.lane[i], b))
MQ_LANES(float32x4_t, 4u, vmulq_n_f32, (float32x4_t a, float b), mq_model_mul(a.lane[i], b))
MQ_LANES(float32x4_t, 4u, vfmaq_f32, (float32x4_t a, float32x4_t b, float32x4_t c),
         mq_model_fma(a.lane[i], b.lane[i], c.lane[i]))
MQ_LANES(float32x4_t, 4u, vfmsq_f32, (float32x4_t a, float32x4_t b, float32x4_t c),
         mq_model_fma(a.lane[i], -b.lane[i], c.lane[i]))
MQ_LANES(float32x4_t, 4u, vfmaq_n_f32, (float32x4_t a, float32x4_t b, float c), mq_model_fma(a.lane[i], b.lane[i], c))
MQ_LANES(float32x4_t, 4u, vfmasq_n_f32, (float32x4_t a, float32x4_t b, float c), mq_model_fma(c, a.lane[i], b.lane[i]))
MQ_LANES(float32x4_t, 4u, vmaxnmq_f32, (float32x4_t a, float32x4_t b), mq_model_max(a.lane[i], b.lane[i]))
MQ_LANES(float32x4_t, 4u, vminnmq_f32, (float32x4_t a, float32x4_t b), mq_model_min(a.lane[i], b.lane[i]))
MQ_LANES(float32x4_t, 4u, vrndnq_f32, (float32x4_t a), mq_model_rint(a.lane[i]))
MQ_LANES(float32x4_t, 4u, vabsq_f32, (float32x4_t a), mq_abs(a.lane[i]))
MQ_LANES(float32x4_t, 4u, vnegq_f32, (float32x4_t a), mq_float_of(mq_bits_of(a.lane[i]) ^ 0x80000000u))
MQ_LANES(int32x4_t, 4u, vcvtq_s32_f32, (float32x4_t a), mq_model_to_s32(a.lane[i]))
MQ_LANES(float32x4_t, 4u, vcvtq_f32_s32, (int32x4_t a), (float)a.lane[i])
MQ_LANES(float32x4_t, 4u, vpselq_f32, (float32x4_t a, float32x4_t b, mve_pred16_t m),
         mq_lane_in(m, i, 4u) ? a.lane[i] : b.lane[i])

MQ_COMPARE(float32x4_t, 4u, vcmpgtq_f32, mq_flushed(a.lane[i]) > mq_flushed(b.lane[i]))

#endif
