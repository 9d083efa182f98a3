/* The passes of mq_fft_passes.h for Helium, two complex values in a vector, and what makes real spectra of complex
 * ones; one body for f32 and for 32-bit integers, with the results of the scalar functions to the bit.
 *
 * Whoever includes this file says what a vector is and does: MQ_VECTOR, MQ_REAL, MQ_VALUE (the pair), MQ_V(name) (an
 * intrinsic without its type), MQ_TIMES and MQ_TIMES_N (products with factors), MQ_HALF, MQ_SIDE, MQ_C1, MQ_C2, MQ_S1,
 * MQ_S2 (of the butterflies), MQ_SCALED, MQ_SHIFTED, and MQ_SCALAR(name) (a function on single values). a (re + i im)
 * is VCADD of the two products: a re + i (a im). SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_TRANSFORM_H
#define MQ_MVE_TRANSFORM_H

#include "mq_mve.h"

static inline MQ_VECTOR mq_turned_by(MQ_VECTOR a, MQ_REAL re, MQ_REAL im) {
    return MQ_V(vcaddq_rot90)(MQ_TIMES_N(a, re), MQ_TIMES_N(a, im));
}

/* What conjugates are products with. (A negation of every other lane would do as well; GCC 12 gets its predicate
 * wrong.) */
static inline MQ_VECTOR mq_conjugation(void) {
    const MQ_REAL signs[4] = {1, -1, 1, -1};
    return MQ_V(vldrwq)(signs);
}

/* The sums of two neighbouring points; `step` in reals. */
static inline void mq_vectors_2(const MQ_REAL *x, uint32_t step, MQ_VECTOR *b) {
    const MQ_VECTOR first = MQ_V(vldrwq)(x);
    const MQ_VECTOR second = MQ_V(vldrwq)(x + step);
    b[0] = MQ_V(vaddq)(first, second);
    b[1] = MQ_V(vsubq)(first, second);
}

static inline void mq_vectors_3(const MQ_REAL *x, uint32_t step, MQ_VECTOR *b) {
    const MQ_VECTOR first = MQ_V(vldrwq)(x);
    const MQ_VECTOR second = MQ_V(vldrwq)(x + step);
    const MQ_VECTOR third = MQ_V(vldrwq)(x + 2 * step);
    const MQ_VECTOR sum = MQ_V(vaddq)(second, third);
    const MQ_VECTOR middle = MQ_V(vsubq)(first, MQ_HALF(sum));
    const MQ_VECTOR side = MQ_TIMES_N(MQ_V(vsubq)(second, third), MQ_SIDE);
    b[0] = MQ_V(vaddq)(first, sum);
    b[1] = MQ_V(vcaddq_rot270)(middle, side);
    b[2] = MQ_V(vcaddq_rot90)(middle, side);
}

static inline void mq_vectors_4(const MQ_REAL *x, uint32_t step, MQ_VECTOR *b) {
    const MQ_VECTOR first = MQ_V(vldrwq)(x);
    const MQ_VECTOR third = MQ_V(vldrwq)(x + 2 * step);
    const MQ_VECTOR even = MQ_V(vaddq)(first, third);
    const MQ_VECTOR even_odd = MQ_V(vsubq)(first, third);
    const MQ_VECTOR second = MQ_V(vldrwq)(x + step);
    const MQ_VECTOR fourth = MQ_V(vldrwq)(x + 3 * step);
    const MQ_VECTOR odd = MQ_V(vaddq)(second, fourth);
    const MQ_VECTOR odd_odd = MQ_V(vsubq)(second, fourth);
    b[0] = MQ_V(vaddq)(even, odd);
    b[1] = MQ_V(vcaddq_rot270)(even_odd, odd_odd);
    b[2] = MQ_V(vsubq)(even, odd);
    b[3] = MQ_V(vcaddq_rot90)(even_odd, odd_odd);
}

static inline void mq_vectors_5(const MQ_REAL *x, uint32_t step, MQ_VECTOR *b) {
    const MQ_VECTOR second = MQ_V(vldrwq)(x + step);
    const MQ_VECTOR fifth = MQ_V(vldrwq)(x + 4 * step);
    const MQ_VECTOR near = MQ_V(vaddq)(second, fifth);
    const MQ_VECTOR near_side = MQ_V(vsubq)(second, fifth);
    const MQ_VECTOR third = MQ_V(vldrwq)(x + 2 * step);
    const MQ_VECTOR fourth = MQ_V(vldrwq)(x + 3 * step);
    const MQ_VECTOR far = MQ_V(vaddq)(third, fourth);
    const MQ_VECTOR far_side = MQ_V(vsubq)(third, fourth);
    const MQ_VECTOR a = MQ_V(vldrwq)(x);
    b[0] = MQ_V(vaddq)(a, MQ_V(vaddq)(near, far));
    const MQ_VECTOR first = MQ_V(vaddq)(a, MQ_V(vaddq)(MQ_TIMES_N(near, MQ_C1), MQ_TIMES_N(far, MQ_C2)));
    const MQ_VECTOR first_side = MQ_V(vaddq)(MQ_TIMES_N(near_side, MQ_S1), MQ_TIMES_N(far_side, MQ_S2));
    b[1] = MQ_V(vcaddq_rot270)(first, first_side);
    b[4] = MQ_V(vcaddq_rot90)(first, first_side);
    const MQ_VECTOR other = MQ_V(vaddq)(a, MQ_V(vaddq)(MQ_TIMES_N(near, MQ_C2), MQ_TIMES_N(far, MQ_C1)));
    const MQ_VECTOR other_side = MQ_V(vsubq)(MQ_TIMES_N(near_side, MQ_S2), MQ_TIMES_N(far_side, MQ_S1));
    b[2] = MQ_V(vcaddq_rot270)(other, other_side);
    b[3] = MQ_V(vcaddq_rot90)(other, other_side);
}

/* Offsets of the lanes of two values that are `apart` reals from each other; of their real (with 1 added: imaginary)
 * parts, twice each. */
static inline uint32x4_t mq_pair_offsets(uint32_t apart) {
    const uint32_t offsets[4] = {0, 1, apart, apart + 1};
    return vldrwq_u32(offsets);
}

static inline uint32x4_t mq_part_offsets(uint32_t apart) {
    const uint32_t offsets[4] = {0, 0, apart, apart};
    return vldrwq_u32(offsets);
}

static inline MQ_VECTOR mq_turned_by_two(MQ_VECTOR a, const MQ_REAL *w, uint32x4_t parts) {
    return MQ_V(vcaddq_rot90)(MQ_TIMES(a, MQ_V(vldrwq_gather_shifted_offset)(w, parts)),
                              MQ_TIMES(a, MQ_V(vldrwq_gather_shifted_offset)(w + 1, parts)));
}

#define MQ_PUT(k) MQ_V(vstrwq)(y + k * apart, b[k]);
#define MQ_PUT_TURNED(k) MQ_V(vstrwq)(y + k * apart, mq_turned_by(b[k], w[2 * k - 2], w[2 * k - 1]));
#define MQ_PUT_FIRST(k) to[k] = alone[k];
#define MQ_SCATTER_TURNED(k)                                                                                           \
    MQ_V(vstrwq_scatter_shifted_offset)(y + 2 * k, values, mq_turned_by_two(b[k], w + 2 * k - 2, parts));

/* Strides of an even number of values: two that share their factors. Stride 1, the first pass: two neighbours with
 * their own, the last two of which may have been made before. What else there is, is done one by one. */
#define MQ_VECTOR_PASS(radix, butterfly)                                                                               \
    static inline void mq_vector_pass_##radix(const MQ_VALUE *from, MQ_VALUE *to, const MQ_VALUE *factors, uint32_t m, \
                                              uint32_t s) {                                                            \
        const MQ_REAL *x = (const MQ_REAL *)(const void *)from;                                                        \
        MQ_REAL *y = (MQ_REAL *)(void *)to;                                                                            \
        const MQ_REAL *w = (const MQ_REAL *)(const void *)factors;                                                     \
        const uint32_t step = 2 * m * s;                                                                               \
        const uint32_t apart = 2 * s;                                                                                  \
        if (s % 2 == 0) {                                                                                              \
            for (uint32_t twos = s / 2; twos; twos--, x += 4, y += 4) {                                                \
                MQ_VECTOR b[radix];                                                                                    \
                mq_vectors_##radix(x, step, b);                                                                        \
                MQ_V(vstrwq)(y, b[0]);                                                                                 \
                MQ_FFT_REST_##radix(MQ_PUT)                                                                            \
            }                                                                                                          \
            for (uint32_t p = m - 1; p; p--) {                                                                         \
                y += (radix - 1) * apart;                                                                              \
                w += 2 * (radix - 1);                                                                                  \
                for (uint32_t twos = s / 2; twos; twos--, x += 4, y += 4) {                                            \
                    MQ_VECTOR b[radix];                                                                                \
                    mq_vectors_##radix(x, step, b);                                                                    \
                    MQ_V(vstrwq)(y, b[0]);                                                                             \
                    MQ_FFT_REST_##radix(MQ_PUT_TURNED)                                                                 \
                }                                                                                                      \
            }                                                                                                          \
        } else if (s == 1 && m >= 3) {                                                                                 \
            const uint32x4_t values = mq_pair_offsets(2 * radix);                                                      \
            const uint32x4_t parts = mq_part_offsets(2 * (radix - 1));                                                 \
            MQ_VALUE alone[radix];                                                                                     \
            butterfly(from, m, alone);                                                                                 \
            to[0] = alone[0];                                                                                          \
            MQ_FFT_REST_##radix(MQ_PUT_FIRST) for (uint32_t done = 1; done < m; done += 2) {                           \
                const uint32_t p = done + 1 < m ? done : m - 2;                                                        \
                y = (MQ_REAL *)(void *)(to + radix * p);                                                               \
                w = (const MQ_REAL *)(const void *)(factors + (radix - 1) * p);                                        \
                MQ_VECTOR b[radix];                                                                                    \
                mq_vectors_##radix(x + 2 * p, step, b);                                                                \
                MQ_V(vstrwq_scatter_shifted_offset)(y, values, b[0]);                                                  \
                MQ_FFT_REST_##radix(MQ_SCATTER_TURNED)                                                                 \
            }                                                                                                          \
        } else {                                                                                                       \
            MQ_SCALAR(pass_##radix)(from, to, factors, m, s);                                                          \
        }                                                                                                              \
    }
MQ_VECTOR_PASS(2, MQ_SCALAR(butterfly_2))
MQ_VECTOR_PASS(3, MQ_SCALAR(butterfly_3))
MQ_VECTOR_PASS(4, MQ_SCALAR(butterfly_4))
MQ_VECTOR_PASS(5, MQ_SCALAR(butterfly_5))

/* Values k, k + 1 and, against each other, m - k, m - k - 1: from x = a and b* to even and odd parts. Each returns the
 * first k that it has not done. */
static inline uint32_t mq_vectors_apart(const MQ_REAL *z, const MQ_REAL *turns, MQ_REAL *y, uint32_t m) {
    const uint32_t swapped[4] = {2, 3, 0, 1};
    const uint32x4_t mirrored = vldrwq_u32(swapped);
    const uint32x4_t parts = mq_part_offsets(2);
    const MQ_VECTOR conjugation = mq_conjugation();
    uint32_t k = 1;
    for (; 2 * k + 2 < m; k += 2) {
        const MQ_VECTOR a = MQ_V(vldrwq)(z + 2 * k);
        const MQ_VECTOR b = MQ_V(vmulq)(conjugation, MQ_V(vldrwq_gather_shifted_offset)(z + 2 * (m - k - 1), mirrored));
        const MQ_VECTOR even = MQ_SCALED(MQ_V(vaddq)(a, b), 0.5f);
        const MQ_VECTOR odd = mq_turned_by_two(MQ_SCALED(MQ_V(vsubq)(a, b), 0.5f), turns + 2 * k, parts);
        MQ_V(vstrwq)(y + 2 * k, MQ_V(vcaddq_rot270)(even, odd));
        MQ_V(vstrwq_scatter_shifted_offset)(y + 2 * (m - k - 1), mirrored,
                                            MQ_V(vmulq)(conjugation, MQ_V(vcaddq_rot90)(even, odd)));
    }
    return k;
}

static inline uint32_t mq_vectors_together(const MQ_REAL *x, const MQ_REAL *turns, MQ_REAL *z, uint32_t m,
                                           int32_t shift, float half) {
    const uint32_t swapped[4] = {2, 3, 0, 1};
    const uint32x4_t mirrored = vldrwq_u32(swapped);
    const uint32x4_t parts = mq_part_offsets(2);
    const MQ_VECTOR conjugation = mq_conjugation();
    uint32_t k = 1;
    (void)shift;
    (void)half;
    for (; 2 * k + 2 < m; k += 2) {
        const MQ_VECTOR a = MQ_SHIFTED(MQ_V(vldrwq)(x + 2 * k), shift);
        const MQ_VECTOR other = MQ_V(vldrwq_gather_shifted_offset)(x + 2 * (m - k - 1), mirrored);
        const MQ_VECTOR b = MQ_V(vmulq)(conjugation, MQ_SHIFTED(other, shift));
        const MQ_VECTOR even = MQ_SCALED(MQ_V(vaddq)(a, b), half);
        const MQ_VECTOR apart = MQ_V(vsubq)(a, b);
        const MQ_VECTOR re = MQ_V(vldrwq_gather_shifted_offset)(turns + 2 * k, parts);
        const MQ_VECTOR im = MQ_V(vldrwq_gather_shifted_offset)(turns + 2 * k + 1, parts);
        const MQ_VECTOR odd = MQ_SCALED(MQ_V(vcaddq_rot270)(MQ_TIMES(apart, re), MQ_TIMES(apart, im)), half);
        MQ_V(vstrwq)(z + 2 * k, MQ_V(vrev64q)(MQ_V(vcaddq_rot90)(even, odd)));
        MQ_V(vstrwq_scatter_shifted_offset)(z + 2 * (m - k - 1), mirrored,
                                            MQ_V(vrev64q)(MQ_V(vmulq)(conjugation, MQ_V(vcaddq_rot270)(even, odd))));
    }
    return k;
}

#endif
