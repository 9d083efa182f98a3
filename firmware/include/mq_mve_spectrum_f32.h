/* The parts of mq_spectrum_f32.h for Helium, with the same results; mq_mve_transform.h has the transform.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_SPECTRUM_F32_H
#define MQ_MVE_SPECTRUM_F32_H

#include "mq_mve_float.h"
#include "mq_mve_windowed.h"
#include "mq_spectrum_f32.h"

#define MQ_VECTOR float32x4_t
#define MQ_REAL float
#define MQ_VALUE mq_complex
#define MQ_V(name) name##_f32
#define MQ_TIMES(a, w) vmulq_f32(a, w)
#define MQ_TIMES_N(a, w) vmulq_n_f32(a, w)
#define MQ_HALF(a) vmulq_n_f32(a, 0.5f)
#define MQ_SIDE 0.866025404f
#define MQ_C1 0.309016994f
#define MQ_C2 (-0.809016994f)
#define MQ_S1 0.951056516f
#define MQ_S2 0.587785252f
#define MQ_SCALED(a, factor) vmulq_n_f32(a, factor)
#define MQ_SHIFTED(a, shift) (a)
#define MQ_SCALAR(name) mq_f32_##name
#include "mq_mve_transform.h"

MQ_FFT(mq_mve_fft_f32, mq_complex, mq_vector_pass_2, mq_vector_pass_3, mq_vector_pass_4, mq_vector_pass_5)

static inline void mq_mve_take_apart_f32(const mq_complex *z, const mq_complex *turns, mq_complex *y, uint32_t m) {
    const uint32_t k =
        mq_vectors_apart((const float *)(const void *)z, (const float *)(const void *)turns, (float *)(void *)y, m);
    mq_ends_apart_f32(z, y, m);
    mq_rest_apart_f32(z, turns, y, m, k);
}

static inline void mq_mve_put_together_f32(const mq_complex *x, const mq_complex *turns, mq_complex *z, uint32_t m) {
    const uint32_t k = mq_vectors_together((const float *)(const void *)x, (const float *)(const void *)turns,
                                           (float *)(void *)z, m, 0, 0.5f / (float)m);
    mq_ends_together_f32(x, z, m);
    mq_rest_together_f32(x, turns, z, m, k);
}

static inline void mq_mve_exchange_f32(mq_complex *x, uint32_t n) {
    float *at = (float *)(void *)x;
    for (uint32_t twos = n / 2; twos; twos--, at += 4) {
        vstrwq_f32(at, vrev64q_f32(vldrwq_f32(at)));
    }
    mq_exchange_f32(x + (n & ~1u), n % 2);
}

static inline void mq_mve_levels_f32(const float *x, float *y, uint32_t n, uint32_t power) {
    for (uint32_t fours = n / 4; fours; fours--, x += 8, y += 4) {
        const float32x4x2_t v = vld2q_f32(x);
        const float32x4_t square = vaddq_f32(vmulq_f32(v.val[0], v.val[0]), vmulq_f32(v.val[1], v.val[1]));
        vstrwq_f32(y, power ? square : mq_roots_f32(square));
    }
    mq_levels_f32(x, y, n % 4, power);
}

static inline float mq_mve_band_f32(const float *x, const float *weights, uint32_t count) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    for (uint32_t fours = count / 4; fours; fours--, x += 4, weights += 4) {
        sums = vaddq_f32(sums, vmulq_f32(vldrwq_f32(weights), vldrwq_f32(x)));
    }
    const mve_pred16_t some = vctp32q(count % 4);
    sums = vaddq_f32(sums, vmulq_f32(vldrwq_z_f32(weights, some), vldrwq_z_f32(x, some)));
    float lane[4];
    vstrwq_f32(lane, sums);
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

/* Four at a time where all are normal and positive, which mq_log_f32 needs. */
static inline void mq_mve_logarithms(float *y, uint32_t n, const mq_logarithm *log) {
    const float32x4_t floors = vdupq_n_f32(log->floor);
    uint32_t left = n;
    for (; left >= 4; left -= 4, y += 4) {
        const float32x4_t x = vaddq_n_f32(vmaxnmq_f32(vldrwq_f32(y), floors), log->offset);
        if (mq_all_normal(x)) {
            vstrwq_f32(y, vmulq_n_f32(mq_log_f32(x), log->factor));
        } else {
            mq_logarithms(y, 4, log);
        }
    }
    mq_logarithms(y, left, log);
}

#endif
