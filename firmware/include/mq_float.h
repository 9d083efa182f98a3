/* Floating-point primitives from IEEE basic operations alone, so that host, QEMU and board give the same bits.
 *
 * Compile with -ffp-contract=off and without -ffast-math. mcu_quant's float references are numpy's. The errors stated
 * here are upper bounds of what is measured over a dense sample of all floats of the stated range, against f64
 * (tests/test_float_primitives.py); "ulp" is the distance of neighbouring floats at the exact result.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FLOAT_H
#define MQ_FLOAT_H

#include "mq_base.h"

static inline uint32_t mq_bits_of(float x) {
    uint32_t u;
    MQ_COPY(&u, &x, sizeof u);
    return u;
}

static inline float mq_float_of(uint32_t u) {
    float x;
    MQ_COPY(&x, &u, sizeof x);
    return x;
}

/* Half precision to single, exact. */
static inline float mq_f16_to_f32(mq_f16 h) {
#if defined(__ARM_FP16_FORMAT_IEEE)
    __fp16 value;
    MQ_COPY(&value, &h, sizeof value);
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
    MQ_COPY(&h, &value, sizeof h);
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

/* x rounded to an integer, half to even; exact for every float, infinities and NaN included. */
static inline float mq_rint(float x) {
    const float big = 8388608.0f; /* 2^23: from there on every float is an integer */
    if (!(x > -big && x < big)) {
        return x;
    }
    return x < 0.0f ? (x - big) + big : (x + big) - big;
}

/* Largest integer not above x, and smallest not below. */
static inline float mq_floor(float x) {
    const float r = mq_rint(x);
    return r > x ? r - 1.0f : r;
}

static inline float mq_ceil(float x) {
    const float r = mq_rint(x);
    return r < x ? r + 1.0f : r;
}

static inline float mq_abs(float x) {
    return mq_float_of(mq_bits_of(x) & 0x7fffffffu);
}

/* The magnitude of the first argument with the sign of the second. */
static inline float mq_copysign(float x, float sign) {
    return mq_float_of((mq_bits_of(x) & 0x7fffffffu) | (mq_bits_of(sign) & 0x80000000u));
}

/* e^r - 1 for |r| <= ln 2 / 2 (polynomial of Cephes expf). */
static inline float mq_expm1_reduced(float r) {
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return (p * r) * r + r;
}

/* x * 2^k, |k| <= 252. In two factors, because 2^128 is not a float. */
static inline float mq_scale(float x, int32_t k) {
    const int32_t half = k / 2;
    const float first = mq_float_of((uint32_t)(half + 127) << 23);
    const float second = mq_float_of((uint32_t)(k - half + 127) << 23);
    return x * first * second;
}

/* e^x, relative error below 2e-7; 0 below -87.3, infinity above 88.7.
 * x = k ln 2 + r, |r| <= ln 2 / 2: e^x = 2^k e^r, with ln 2 in two parts. */
static inline float mq_exp(float x) {
    if (x > 88.7f) {
        return MQ_INFINITY;
    }
    if (!(x > -87.3f)) {
        return x < 0.0f ? 0.0f : x; /* NaN stays NaN */
    }
    const int32_t k = mq_round(x * 1.44269504f);
    const float kf = (float)k;
    const float r = (x - kf * 0.693359375f) + kf * 2.12194440e-4f;
    return mq_scale(mq_expm1_reduced(r) + 1.0f, k);
}

/* e^x - 1, relative error below 3e-7 also near 0. */
static inline float mq_expm1(float x) {
    return mq_abs(x) < 0.34657359f ? mq_expm1_reduced(x) : mq_exp(x) - 1.0f;
}

/* A float as mantissa * 2^exponent. */
typedef struct {
    float mantissa;
    int32_t exponent;
} mq_split;

/* Of a positive finite x: mantissa in [sqrt(1/2), sqrt(2)). Exact. */
static inline mq_split mq_split_of(float x) {
    const int32_t lifted = x < 0x1p-126f ? 24 : 0; /* a subnormal becomes normal first */
    const uint32_t u = mq_bits_of(lifted ? x * 0x1p24f : x);
    const uint32_t root_half = 0x3f3504f3u;
    const uint32_t from = u - root_half; /* carries into the exponent bits exactly at sqrt(1/2) */
    const int32_t exponent = (int32_t)((from >> 23) ^ 0x100u) - 0x100; /* signed 9 bits */
    const mq_split split = {mq_float_of((from & 0x7fffffu) + root_half), exponent - lifted};
    return split;
}

/* ln x, error below 1 ulp for positive x; -infinity at 0, NaN below.
 * x = m 2^e: ln x = ln m + e ln 2, with a polynomial for ln m (Cephes logf). */
static inline float mq_log(float x) {
    if (!(x > 0.0f)) {
        return x == 0.0f ? -MQ_INFINITY : MQ_NAN;
    }
    if (x == MQ_INFINITY) {
        return x;
    }
    const mq_split split = mq_split_of(x);
    const float z = split.mantissa - 1.0f;
    const float e = (float)split.exponent;
    float p = 7.0376836292e-2f;
    p = p * z - 1.1514610310e-1f;
    p = p * z + 1.1676998740e-1f;
    p = p * z - 1.2420140846e-1f;
    p = p * z + 1.4249322787e-1f;
    p = p * z - 1.6668057665e-1f;
    p = p * z + 2.0000714765e-1f;
    p = p * z - 2.4999993993e-1f;
    p = p * z + 3.3333331174e-1f;
    const float square = z * z;
    const float tail = (p * z) * square - e * 2.12194440e-4f - 0.5f * square;
    return (z + tail) + e * 0.693359375f;
}

/* ln(1 + x), relative error below 3e-7 also near 0. The rounding of 1 + x is made good by the factor (Kahan). */
static inline float mq_log1p(float x) {
    const float u = 1.0f + x;
    if (u == 1.0f) {
        return x;
    }
    return u < MQ_INFINITY ? mq_log(u) * (x / (u - 1.0f)) : mq_log(u);
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

/* erf, relative error below 3e-7: an odd polynomial up to 0.9, 1 - e^q(|x|) with q ~ ln erfc from there on (both are
 * minimax fits). */
static inline float mq_erf(float x) {
    const float a = mq_abs(x);
    if (a < 0.9f) {
        const float z = x * x;
        float p = -6.09036039741e-4f;
        p = p * z + 5.0119628983e-3f;
        p = p * z - 2.67789089667e-2f;
        p = p * z + 1.12821408132e-1f;
        p = p * z - 3.76125232763e-1f;
        p = p * z + 1.28379153800e-1f; /* 2 / sqrt(pi) - 1: the 1 is added last, to keep its rounding small */
        return p * x + x;
    }
    if (!(a < 4.0f)) {
        return a >= 4.0f ? mq_copysign(1.0f, x) : x; /* NaN stays NaN */
    }
    float q = 1.97181505678e-4f;
    q = q * a - 3.05560552036e-3f;
    q = q * a + 2.22770793848e-2f;
    q = q * a - 1.04037344500e-1f;
    q = q * a - 6.37059769431e-1f;
    q = q * a - 1.12774955334f;
    q = q * a - 1.77496736602e-4f;
    return mq_copysign(1.0f - mq_exp(q), x);
}

/* An angle in quarters: quarter turns modulo 4, and what is left of at most an eighth turn, in radians. */
typedef struct {
    int32_t quarter;
    float rest;
} mq_angle;

/* pi / 2 in three parts, whose products with up to 13 bits of quarters are exact: |x| <= 8192. */
static inline mq_angle mq_angle_of(float x) {
    const int32_t k = mq_round(x * 0.636619772f);
    const float kf = (float)k;
    const float rest = ((x - kf * 1.5703125f) - kf * 4.837512969970703125e-4f) - kf * 7.549789948768648e-8f;
    const mq_angle angle = {k & 3, rest};
    return angle;
}

static inline float mq_sin_reduced(float r) {
    const float z = r * r;
    return (((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z) * r + r;
}

static inline float mq_cos_reduced(float r) {
    const float z = r * r;
    return ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
}

/* sin and cos, absolute error below 1.5e-7 for |x| <= 8192; growing beyond, NaN for what is not finite
 * (polynomials of Cephes sinf, cosf). */
static inline float mq_sin(float x) {
    if (!(mq_abs(x) < MQ_INFINITY)) {
        return MQ_NAN;
    }
    const mq_angle a = mq_angle_of(x);
    const float v = a.quarter & 1 ? mq_cos_reduced(a.rest) : mq_sin_reduced(a.rest);
    return a.quarter & 2 ? -v : v;
}

static inline float mq_cos(float x) {
    if (!(mq_abs(x) < MQ_INFINITY)) {
        return MQ_NAN;
    }
    const mq_angle a = mq_angle_of(x);
    const float v = a.quarter & 1 ? mq_sin_reduced(a.rest) : mq_cos_reduced(a.rest);
    return (a.quarter + 1) & 2 ? -v : v;
}

/* arctan, relative error below 2e-7: brought to |x| <= tan(pi / 8) by two identities (Cephes atanf). */
static inline float mq_atan(float x) {
    const float a = mq_abs(x);
    float base = 0.0f;
    float v = a;
    if (a > 2.414213562f) {
        base = 1.57079632679f;
        v = -1.0f / a;
    } else if (a > 0.4142135624f) {
        base = 0.785398163397f;
        v = (a - 1.0f) / (a + 1.0f);
    }
    const float z = v * v;
    float p = 8.05374449538e-2f;
    p = p * z - 1.38776856032e-1f;
    p = p * z + 1.99777106478e-1f;
    p = p * z - 3.33329491539e-1f;
    return mq_copysign(base + ((p * z) * v + v), x);
}

/* A number as the unevaluated sum of two floats, twice as precise as one. */
typedef struct {
    float high;
    float low;
} mq_pair;

/* a * b without error, for |a|, |b| < 2^60 (Dekker: each factor in two halves of 12 bits). */
static inline mq_pair mq_product(float a, float b) {
    const float ca = a * 4097.0f;
    const float cb = b * 4097.0f;
    const float ah = ca - (ca - a);
    const float bh = cb - (cb - b);
    const float al = a - ah;
    const float bl = b - bh;
    const float p = a * b;
    const mq_pair product = {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
    return product;
}

/* log2 of a positive finite x, relative error below 2^-30.
 * x = m 2^e, s = (m - 1) / (m + 1): log2 x = e + (2 / ln 2) (s + s^3 / 3 + s^5 / 5 + ...). */
static inline mq_pair mq_log2_pair(float x) {
    const mq_split split = mq_split_of(x);
    const float f = split.mantissa - 1.0f;
    const float d = split.mantissa + 1.0f;
    const float d_low = split.mantissa - (d - 1.0f);
    const float s = f / d;
    const mq_pair sd = mq_product(s, d);
    const float s_low = (((f - sd.high) - sd.low) - s * d_low) / d;
    const float t = s * s;
    const float series = ((((t / 11.0f + 1.0f / 9.0f) * t + 1.0f / 7.0f) * t + 0.2f) * t + 1.0f / 3.0f) * t * s;
    const mq_pair p = mq_product(s, 2.885390043f); /* 2 / ln 2 = 2.885390043... + 3.8519e-8 */
    const float low = p.low + s * 3.85195e-8f + (s_low + series) * 2.885390043f;
    const float e = (float)split.exponent;
    const float high = e + p.high;
    const mq_pair log2 = {high, (p.high - (high - e)) + low};
    return log2;
}

/* x^y for x > 0, both finite: 2^(y log2 x), with the exponent as a pair. */
static inline float mq_pow_positive(float x, float y) {
    const mq_pair l = mq_log2_pair(x);
    const float limit = 2147483648.0f; /* beyond, the result is 0, 1 or infinity for every x */
    const float bounded = y > limit ? limit : (y < -limit ? -limit : y);
    const mq_pair p = mq_product(bounded, l.high);
    const float exponent = p.high + (p.low + bounded * l.low);
    if (exponent > 128.5f) {
        return MQ_INFINITY;
    }
    if (exponent < -151.0f) {
        return 0.0f;
    }
    const int32_t k = mq_round(exponent);
    const float rest = (p.high - (float)k) + (p.low + bounded * l.low);
    return mq_scale(mq_expm1_reduced(rest * 0.693147181f) + 1.0f, k);
}

/* x^y as C's powf defines it, relative error below 3e-7 where the result is a normal number: x^0 = 1^y = 1 even for
 * NaN; a negative x needs an integer y. */
static inline float mq_pow(float x, float y) {
    if (y == 0.0f || x == 1.0f) {
        return 1.0f;
    }
    const float ax = mq_abs(x);
    if (!(ax <= MQ_INFINITY) || !(mq_abs(y) <= MQ_INFINITY)) {
        return MQ_NAN;
    }
    const int integer = mq_rint(y) == y;
    const int odd = integer && mq_rint(0.5f * y) != 0.5f * y;
    if (x < 0.0f && !integer && ax < MQ_INFINITY) {
        return MQ_NAN;
    }
    float v;
    if (mq_abs(y) == MQ_INFINITY) {
        v = ax == 1.0f ? 1.0f : ((ax > 1.0f) == (y > 0.0f) ? MQ_INFINITY : 0.0f);
    } else if (ax == 0.0f || ax == MQ_INFINITY) {
        v = (ax == 0.0f) == (y > 0.0f) ? 0.0f : MQ_INFINITY;
    } else {
        v = mq_pow_positive(ax, y);
    }
    return odd ? mq_copysign(v, x) : v;
}

#endif
