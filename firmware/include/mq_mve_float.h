/* Functions of four f32 values on Helium, which has neither a division nor an exponential.
 *
 *   2^t - 1     with t = k + f, k whole and |f| <= 1/2: 2^k (2^f - 1) + (2^k - 1), and a polynomial for (2^f - 1) / f,
 *               relative error 5e-7, near 0 too. |t| <= 126.
 *   1 / d       for normal d > 0 below 2^126: an estimate from the bits of d, off by 12 %, and three steps of Newton,
 *               r + r (1 - d r), each of which squares the error: relative error 2e-7.
 *   sigmoid(x) = 1 / (2^t + 1), t = -x log2(e);   tanh(x) = (2^t - 1) / (2^t + 1), t = 2 x log2(e)
 *               relative error below 2e-6: far finer than f16, in which the results are stored. t is limited to
 *               [-60, 60], beyond which the results no longer change; NaN gives those of a limit.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_FLOAT_H
#define MQ_MVE_FLOAT_H

#include "mq_mve.h"

static inline float32x4_t mq_exp2m1_f32(float32x4_t t) {
    const float32x4_t whole = vrndnq_f32(t);
    const float32x4_t f = vsubq_f32(t, whole);
    const int32x4_t bits = vaddq_n_s32(vshlq_n_s32(vcvtq_s32_f32(whole), 23), 0x3f800000);
    const float32x4_t power = vreinterpretq_f32_s32(bits);
    float32x4_t p = vdupq_n_f32(1.33335377e-3f);
    p = vfmasq_n_f32(p, f, 9.66624569e-3f);
    p = vfmasq_n_f32(p, f, 5.55050022e-2f);
    p = vfmasq_n_f32(p, f, 2.40223513e-1f);
    p = vfmasq_n_f32(p, f, 6.93147144e-1f);
    return vfmaq_f32(vaddq_n_f32(power, -1.0f), power, vmulq_f32(p, f));
}

static inline float32x4_t mq_reciprocal_f32(float32x4_t d) {
    const float32x4_t one = vdupq_n_f32(1.0f);
    float32x4_t r = vreinterpretq_f32_s32(vsubq_s32(vdupq_n_s32(0x7ef311c7), vreinterpretq_s32_f32(d)));
    r = vfmaq_f32(r, r, vfmsq_f32(one, d, r));
    r = vfmaq_f32(r, r, vfmsq_f32(one, d, r));
    return vfmaq_f32(r, r, vfmsq_f32(one, d, r));
}

static inline float32x4_t mq_bounded_f32(float32x4_t t, float bound) {
    return vminnmq_f32(vmaxnmq_f32(t, vdupq_n_f32(-bound)), vdupq_n_f32(bound));
}

static inline float32x4_t mq_sigmoid_f32(float32x4_t x) {
    const float32x4_t t = mq_bounded_f32(vmulq_n_f32(x, -1.44269504f), 60.0f);
    return mq_reciprocal_f32(vaddq_n_f32(mq_exp2m1_f32(t), 2.0f));
}

static inline float32x4_t mq_tanh_f32(float32x4_t x) {
    const float32x4_t less = mq_exp2m1_f32(mq_bounded_f32(vmulq_n_f32(x, 2.88539008f), 60.0f));
    return vmulq_f32(less, mq_reciprocal_f32(vaddq_n_f32(less, 2.0f)));
}

/* The square root, correctly rounded, of a number that is not negative: VSQRT without what C says of errno. */
static inline float mq_root_f32(float x) {
#if defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
    float y;
    __asm("vsqrt.f32 %0, %1" : "=t"(y) : "t"(x));
    return y;
#else
    return MQ_SQRT(x);
#endif
}

/* Of four numbers: there is no vector of them. */
static inline float32x4_t mq_roots_f32(float32x4_t x) {
    float lane[4];
    vstrwq_f32(lane, x);
    lane[0] = mq_root_f32(lane[0]);
    lane[1] = mq_root_f32(lane[1]);
    lane[2] = mq_root_f32(lane[2]);
    lane[3] = mq_root_f32(lane[3]);
    return vldrwq_f32(lane);
}

/* Are all four normal and positive? As integers their bits are in that order. */
static inline int mq_all_normal(float32x4_t x) {
    const int32x4_t bits = vreinterpretq_s32_f32(x);
    return vminvq_s32(INT32_MAX, bits) >= 0x00800000 && vmaxvq_s32(INT32_MIN, bits) < 0x7f800000;
}

/* mq_log of normal positive numbers, step by step, with the same results. */
static inline float32x4_t mq_log_f32(float32x4_t x) {
    const int32_t root_half = 0x3f3504f3;
    const int32x4_t from = vsubq_n_s32(vreinterpretq_s32_f32(x), root_half);
    const float32x4_t e = vcvtq_f32_s32(vshrq_n_s32(from, 23));
    const int32x4_t mantissa = vaddq_n_s32(vandq_s32(from, vdupq_n_s32(0x7fffff)), root_half);
    const float32x4_t z = vaddq_n_f32(vreinterpretq_f32_s32(mantissa), -1.0f);
    float32x4_t p = vdupq_n_f32(7.0376836292e-2f);
    p = vaddq_n_f32(vmulq_f32(p, z), -1.1514610310e-1f);
    p = vaddq_n_f32(vmulq_f32(p, z), 1.1676998740e-1f);
    p = vaddq_n_f32(vmulq_f32(p, z), -1.2420140846e-1f);
    p = vaddq_n_f32(vmulq_f32(p, z), 1.4249322787e-1f);
    p = vaddq_n_f32(vmulq_f32(p, z), -1.6668057665e-1f);
    p = vaddq_n_f32(vmulq_f32(p, z), 2.0000714765e-1f);
    p = vaddq_n_f32(vmulq_f32(p, z), -2.4999993993e-1f);
    p = vaddq_n_f32(vmulq_f32(p, z), 3.3333331174e-1f);
    const float32x4_t square = vmulq_f32(z, z);
    const float32x4_t main = vsubq_f32(vmulq_f32(vmulq_f32(p, z), square), vmulq_n_f32(e, 2.12194440e-4f));
    const float32x4_t tail = vsubq_f32(main, vmulq_n_f32(square, 0.5f));
    return vaddq_f32(vaddq_f32(z, tail), vmulq_n_f32(e, 0.693359375f));
}

#endif
