/* The parts of mq_spectrum_s32.h for Helium, with the same results; mq_mve_transform.h has the transform.
 * VQRDMULH is mq_mulhr of twice the value. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_SPECTRUM_S32_H
#define MQ_MVE_SPECTRUM_S32_H

#include "mq_mve_levels_s32.h"
#include "mq_mve_windowed.h"
#include "mq_spectrum_s32.h"

#define MQ_VECTOR int32x4_t
#define MQ_REAL int32_t
#define MQ_VALUE mq_pair_s32
#define MQ_V(name) name##_s32
#define MQ_TIMES(a, w) vqrdmulhq_s32(a, w)
#define MQ_TIMES_N(a, w) vqrdmulhq_n_s32(a, w)
#define MQ_HALF(a) vrshrq_n_s32(a, 1)
#define MQ_SIDE 1859775393
#define MQ_C1 663608942
#define MQ_C2 (-1737350766)
#define MQ_S1 2042378317
#define MQ_S2 1262259218
#define MQ_SCALED(a, factor) (a)
#define MQ_SHIFTED(a, shift) vrshlq_s32(a, vdupq_n_s32(shift))
#define MQ_SCALAR(name) mq_s32_##name
#include "mq_mve_transform.h"

MQ_FFT(mq_mve_fft_s32, mq_pair_s32, mq_vector_pass_2, mq_vector_pass_3, mq_vector_pass_4, mq_vector_pass_5)

static inline void mq_mve_shift_s32(int32_t *x, uint32_t n, int32_t shift) {
    const int32x4_t by = vdupq_n_s32(shift);
    for (uint32_t fours = n / 4; fours; fours--, x += 4) {
        vstrwq_s32(x, vrshlq_s32(vldrwq_s32(x), by));
    }
    mq_shift_s32(x, n % 4, shift);
}

static inline uint64_t mq_mve_sum_of_magnitudes(const int32_t *x, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t fours = n / 4; fours; fours--, x += 4) {
        sum = vaddlvaq_u32(sum, vreinterpretq_u32_s32(vabsq_s32(vldrwq_s32(x))));
    }
    return sum + mq_sum_of_magnitudes(x, n % 4);
}

static inline void mq_mve_take_apart_s32(const mq_pair_s32 *z, const mq_pair_s32 *turns, mq_pair_s32 *y, uint32_t m) {
    const uint32_t k = mq_vectors_apart((const int32_t *)(const void *)z, (const int32_t *)(const void *)turns,
                                        (int32_t *)(void *)y, m);
    mq_ends_apart_s32(z, y, m);
    mq_rest_apart_s32(z, turns, y, m, k);
}

static inline void mq_mve_put_together_s32(const mq_pair_s32 *x, const mq_pair_s32 *turns, mq_pair_s32 *z, uint32_t m,
                                           int32_t shift) {
    const uint32_t k = mq_vectors_together((const int32_t *)(const void *)x, (const int32_t *)(const void *)turns,
                                           (int32_t *)(void *)z, m, shift, 0.0f);
    mq_ends_together_s32(x, z, m, shift);
    mq_rest_together_s32(x, turns, z, m, shift, k);
}

static inline void mq_mve_narrow_s16(const int32_t *x, int16_t *y, uint32_t n, int32_t m, int32_t exponent) {
    const int32_t shift = mq_narrowing(exponent);
    for (uint32_t fours = n / 4; fours; fours--, x += 4, y += 4) {
        vstrhq_s32(y, mq_narrow_four(vldrwq_s32(x), m, shift));
    }
    mq_narrow_s16(x, y, n % 4, m, exponent);
}

static inline void mq_mve_narrow_exchanged(const mq_pair_s32 *x, int16_t *y, uint32_t n, int32_t m, int32_t exponent) {
    const int32_t shift = mq_narrowing(exponent);
    const int32_t *at = (const int32_t *)(const void *)x;
    for (uint32_t twos = n / 2; twos; twos--, at += 4, y += 4) {
        vstrhq_s32(y, mq_narrow_four(vrev64q_s32(vldrwq_s32(at)), m, shift));
    }
    mq_narrow_exchanged(x + (n & ~1u), y, n % 2, m, exponent);
}

#endif
