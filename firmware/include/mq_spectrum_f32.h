/* The parts that spectra of frames are made of, f32; kernels/spectrum/mq_spectrum.h has the formulas.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_SPECTRUM_F32_H
#define MQ_SPECTRUM_F32_H

#include "mq_fft_f32.h"
#include "mq_float.h"
#include "mq_spectrum.h"
#include "mq_windowed.h"

MQ_FFT(mq_fft_f32, mq_complex, mq_f32_pass_2, mq_f32_pass_3, mq_f32_pass_4, mq_f32_pass_5)

/* The spectrum of the real signal from that of its m complex values; y has m + 1 of them. */
static inline void mq_ends_apart_f32(const mq_complex *z, mq_complex *y, uint32_t m) {
    const float re = z[0].re;
    const float im = z[0].im;
    y[0].re = re + im;
    y[0].im = 0.0f;
    y[m].re = re - im;
    y[m].im = 0.0f;
}

/* Those from k to m / 2, and from m / 2 to m - k. */
static inline void mq_rest_apart_f32(const mq_complex *z, const mq_complex *turns, mq_complex *y, uint32_t m,
                                     uint32_t k) {
    for (; k <= m / 2; k++) {
        const mq_complex a = z[k];
        const mq_complex b = {z[m - k].re, -z[m - k].im};
        const mq_complex even = mq_complex_scaled(mq_complex_sum(a, b), 0.5f);
        const mq_complex half = mq_complex_scaled(mq_complex_difference(a, b), 0.5f);
        const mq_complex odd = mq_complex_turned(mq_complex_product(half, turns[k]));
        const mq_complex mirrored = mq_complex_difference(even, odd);
        y[k] = mq_complex_sum(even, odd);
        y[m - k].re = mirrored.re;
        y[m - k].im = -mirrored.im;
    }
}

static inline void mq_take_apart_f32(const mq_complex *z, const mq_complex *turns, mq_complex *y, uint32_t m) {
    mq_ends_apart_f32(z, y, m);
    mq_rest_apart_f32(z, turns, y, m, 1);
}

/* Parts exchanged: im of the value as re. */
static inline mq_complex mq_exchanged(float re, float im) {
    const mq_complex c = {im, re};
    return c;
}

/* The spectrum of the m complex values z[n] = x[2n] + i x[2n+1], times 1/m, parts exchanged. */
static inline void mq_ends_together_f32(const mq_complex *x, mq_complex *z, uint32_t m) {
    const float half = 0.5f / (float)m;
    z[0] = mq_exchanged((x[0].re + x[m].re) * half, (x[0].re - x[m].re) * half);
}

static inline void mq_rest_together_f32(const mq_complex *x, const mq_complex *turns, mq_complex *z, uint32_t m,
                                        uint32_t k) {
    const float half = 0.5f / (float)m;
    for (; k <= m / 2; k++) {
        const mq_complex a = x[k];
        const mq_complex b = {x[m - k].re, -x[m - k].im};
        const mq_complex even = mq_complex_scaled(mq_complex_sum(a, b), half);
        const mq_complex odd = mq_complex_scaled(mq_complex_product_back(mq_complex_difference(a, b), turns[k]), half);
        z[k] = mq_exchanged(even.re - odd.im, even.im + odd.re);
        z[m - k] = mq_exchanged(even.re + odd.im, odd.re - even.im);
    }
}

static inline void mq_put_together_f32(const mq_complex *x, const mq_complex *turns, mq_complex *z, uint32_t m) {
    mq_ends_together_f32(x, z, m);
    mq_rest_together_f32(x, turns, z, m, 1);
}

static inline void mq_exchange_f32(mq_complex *x, uint32_t n) {
    for (; n; n--, x++) {
        *x = mq_exchanged(x->re, x->im);
    }
}

/* Magnitudes of n pairs (re, im), or their squares. */
static inline void mq_levels_f32(const float *x, float *y, uint32_t n, uint32_t power) {
    if (power) {
        for (; n; n--, x += 2) {
            *y++ = x[0] * x[0] + x[1] * x[1];
        }
        return;
    }
    for (; n; n--, x += 2) {
        *y++ = MQ_SQRT(x[0] * x[0] + x[1] * x[1]);
    }
}

/* The sum of products, as four sums of every fourth one: an instruction set may have four lanes. */
static inline float mq_band_f32(const float *x, const float *weights, uint32_t count) {
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (; count >= 4; count -= 4, x += 4, weights += 4) {
        sums[0] += weights[0] * x[0];
        sums[1] += weights[1] * x[1];
        sums[2] += weights[2] * x[2];
        sums[3] += weights[3] * x[3];
    }
    for (uint32_t j = 0; j < count; j++) {
        sums[j] += weights[j] * x[j];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* n logarithms in place. */
static inline void mq_logarithms(float *y, uint32_t n, const mq_logarithm *log) {
    for (; n; n--, y++) {
        *y = log->factor * mq_log((*y > log->floor ? *y : log->floor) + log->offset);
    }
}

#endif
