/* Complex FFT of mixed radix 2, 3, 4 and 5 in f32 (Stockham: in natural order, from one buffer into the other).
 *
 * One pass of radix r over sequences of n values, stride s (n s = the length of the transform), m = n / r:
 *
 *     y[q + s (r p + k)] = w(p, k) sum_j x[q + s (p + m j)] exp(-2 pi i j k / r)      w(p, k) = exp(-2 pi i p k / n)
 *
 * for p = 0 .. m-1, q = 0 .. s-1, k = 0 .. r-1. The next pass has n = m and stride r s. Values are pairs (re, im).
 * `w` holds w(p, k) of a pass for k = 1 .. r-1, k fastest; w(0, k) is 1 and is not multiplied.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FFT_F32_H
#define MQ_FFT_F32_H

#include "mq_base.h"

typedef struct {
    float re;
    float im;
} mq_complex;

static inline mq_complex mq_complex_sum(mq_complex a, mq_complex b) {
    const mq_complex c = {a.re + b.re, a.im + b.im};
    return c;
}

static inline mq_complex mq_complex_difference(mq_complex a, mq_complex b) {
    const mq_complex c = {a.re - b.re, a.im - b.im};
    return c;
}

static inline mq_complex mq_complex_product(mq_complex a, mq_complex b) {
    const mq_complex c = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return c;
}

static inline mq_complex mq_complex_scaled(mq_complex a, float factor) {
    const mq_complex c = {a.re * factor, a.im * factor};
    return c;
}

/* -i a */
static inline mq_complex mq_complex_turned(mq_complex a) {
    const mq_complex c = {a.im, -a.re};
    return c;
}

/* The sums of one point, b[k] = sum_j a[j] exp(-2 pi i j k / r). */
static inline void mq_butterfly_2(const mq_complex *a, mq_complex *b) {
    b[0] = mq_complex_sum(a[0], a[1]);
    b[1] = mq_complex_difference(a[0], a[1]);
}

static inline void mq_butterfly_3(const mq_complex *a, mq_complex *b) {
    const mq_complex sum = mq_complex_sum(a[1], a[2]);
    const mq_complex middle = mq_complex_difference(a[0], mq_complex_scaled(sum, 0.5f));
    const mq_complex side = mq_complex_turned(mq_complex_scaled(mq_complex_difference(a[1], a[2]), 0.866025404f));
    b[0] = mq_complex_sum(a[0], sum);
    b[1] = mq_complex_sum(middle, side);
    b[2] = mq_complex_difference(middle, side);
}

static inline void mq_butterfly_4(const mq_complex *a, mq_complex *b) {
    const mq_complex even = mq_complex_sum(a[0], a[2]);
    const mq_complex even_odd = mq_complex_difference(a[0], a[2]);
    const mq_complex odd = mq_complex_sum(a[1], a[3]);
    const mq_complex odd_odd = mq_complex_turned(mq_complex_difference(a[1], a[3]));
    b[0] = mq_complex_sum(even, odd);
    b[1] = mq_complex_sum(even_odd, odd_odd);
    b[2] = mq_complex_difference(even, odd);
    b[3] = mq_complex_difference(even_odd, odd_odd);
}

/* cos and sin of 72 and 144 degrees. */
static inline void mq_butterfly_5(const mq_complex *a, mq_complex *b) {
    const float c1 = 0.309016994f;
    const float c2 = -0.809016994f;
    const float s1 = 0.951056516f;
    const float s2 = 0.587785252f;
    const mq_complex near = mq_complex_sum(a[1], a[4]);
    const mq_complex far = mq_complex_sum(a[2], a[3]);
    const mq_complex near_side = mq_complex_turned(mq_complex_difference(a[1], a[4]));
    const mq_complex far_side = mq_complex_turned(mq_complex_difference(a[2], a[3]));
    const mq_complex first =
        mq_complex_sum(a[0], mq_complex_sum(mq_complex_scaled(near, c1), mq_complex_scaled(far, c2)));
    const mq_complex second =
        mq_complex_sum(a[0], mq_complex_sum(mq_complex_scaled(near, c2), mq_complex_scaled(far, c1)));
    const mq_complex first_side = mq_complex_sum(mq_complex_scaled(near_side, s1), mq_complex_scaled(far_side, s2));
    const mq_complex second_side =
        mq_complex_difference(mq_complex_scaled(near_side, s2), mq_complex_scaled(far_side, s1));
    b[0] = mq_complex_sum(a[0], mq_complex_sum(near, far));
    b[1] = mq_complex_sum(first, first_side);
    b[2] = mq_complex_sum(second, second_side);
    b[3] = mq_complex_difference(second, second_side);
    b[4] = mq_complex_difference(first, first_side);
}

#define MQ_FFT_PASS(radix)                                                                                             \
    static inline void mq_fft_pass_##radix(const mq_complex *x, mq_complex *y, const mq_complex *w, uint32_t n,        \
                                           uint32_t s) {                                                               \
        const uint32_t m = n / radix;                                                                                  \
        for (uint32_t p = 0; p < m; p++) {                                                                             \
            for (uint32_t q = 0; q < s; q++) {                                                                         \
                mq_complex a[radix];                                                                                   \
                mq_complex b[radix];                                                                                   \
                for (uint32_t j = 0; j < radix; j++) {                                                                 \
                    a[j] = x[q + s * (p + m * j)];                                                                     \
                }                                                                                                      \
                mq_butterfly_##radix(a, b);                                                                            \
                y[q + s * radix * p] = b[0];                                                                           \
                for (uint32_t k = 1; k < radix; k++) {                                                                 \
                    y[q + s * (radix * p + k)] = p > 0 ? mq_complex_product(b[k], w[k - 1]) : b[k];                    \
                }                                                                                                      \
            }                                                                                                          \
            w += radix - 1;                                                                                            \
        }                                                                                                              \
    }
MQ_FFT_PASS(2)
MQ_FFT_PASS(3)
MQ_FFT_PASS(4)
MQ_FFT_PASS(5)

/* All passes of a transform of `length` values; `radices` ends with 0. The result of an even number of passes is in x,
 * of an odd number in y; the other is lost. Returns where the result is. */
static inline mq_complex *mq_fft(mq_complex *x, mq_complex *y, const mq_complex *w, const uint8_t *radices,
                                 uint32_t length) {
    uint32_t s = 1;
    for (uint32_t n = length; *radices; radices++) {
        const uint32_t radix = *radices;
        mq_complex *const from = x;
        if (radix == 2) {
            mq_fft_pass_2(x, y, w, n, s);
        } else if (radix == 3) {
            mq_fft_pass_3(x, y, w, n, s);
        } else if (radix == 4) {
            mq_fft_pass_4(x, y, w, n, s);
        } else {
            mq_fft_pass_5(x, y, w, n, s);
        }
        x = y;
        y = from;
        n /= radix;
        w += n * (radix - 1);
        s *= radix;
    }
    return x;
}

#endif
