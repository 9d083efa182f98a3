/* Real spectra from complex ones, one frame, in 32-bit integers with an exponent per frame;
 * kernels/spectrum/mq_spectrum.h has the formulas. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_SPECTRUM_S32_H
#define MQ_SPECTRUM_S32_H

#include "mq_levels_s32.h"
#include "mq_windowed.h"

MQ_FFT(mq_fft_s32, mq_pair_s32, mq_s32_pass_2, mq_s32_pass_3, mq_s32_pass_4, mq_s32_pass_5)

/* x 2^shift, half rounded up where it loses bits; shift in [-31, 31]. */
static inline int32_t mq_shifted(int32_t x, int32_t shift) {
    return shift < 0 ? mq_rshr(x, -shift) : (int32_t)((uint32_t)x << shift);
}

static inline uint64_t mq_sum_of_magnitudes(const int32_t *x, uint32_t n) {
    uint64_t sum = 0;
    for (; n; n--) {
        sum += mq_magnitude_of(*x++);
    }
    return sum;
}

/* Twice the spectrum of the real signal from that of its m complex values; y has m + 1 of them. */
static inline void mq_ends_apart_s32(const mq_pair_s32 *z, mq_pair_s32 *y, uint32_t m) {
    const int32_t re = z[0].re;
    const int32_t im = z[0].im;
    y[0].re = 2 * (re + im);
    y[0].im = 0;
    y[m].re = 2 * (re - im);
    y[m].im = 0;
}

/* Those from k to m / 2, and from m / 2 to m - k. */
static inline void mq_rest_apart_s32(const mq_pair_s32 *z, const mq_pair_s32 *turns, mq_pair_s32 *y, uint32_t m,
                                     uint32_t k) {
    for (; k <= m / 2; k++) {
        const mq_pair_s32 a = z[k];
        const mq_pair_s32 b = {z[m - k].re, -z[m - k].im};
        const mq_pair_s32 even = mq_pair_sum(a, b);
        const mq_pair_s32 odd = mq_pair_turned(mq_pair_product(mq_pair_difference(a, b), turns[k]));
        const mq_pair_s32 mirrored = mq_pair_difference(even, odd);
        y[k] = mq_pair_sum(even, odd);
        y[m - k].re = mirrored.re;
        y[m - k].im = -mirrored.im;
    }
}

static inline void mq_take_apart_s32(const mq_pair_s32 *z, const mq_pair_s32 *turns, mq_pair_s32 *y, uint32_t m) {
    mq_ends_apart_s32(z, y, m);
    mq_rest_apart_s32(z, turns, y, m, 1);
}

/* n values shifted in place, as mq_shifted. */
static inline void mq_shift_s32(int32_t *x, uint32_t n, int32_t shift) {
    if (shift < 0) {
        for (; n; n--, x++) {
            *x = mq_rshr(*x, -shift);
        }
        return;
    }
    for (; n; n--, x++) {
        *x = (int32_t)((uint32_t)*x << shift);
    }
}

/* n values times m 2^exponent as 16 bits, half rounded up. */
static inline void mq_narrow_s16(const int32_t *x, int16_t *y, uint32_t n, int32_t m, int32_t exponent) {
    const int32_t shift = mq_narrowing(exponent);
    for (; n; n--) {
        *y++ = mq_sat_s16(mq_requantise(*x++, m, shift));
    }
}

static inline mq_pair_s32 mq_pair_shifted(mq_pair_s32 v, int32_t shift) {
    const mq_pair_s32 made = {mq_shifted(v.re, shift), mq_shifted(v.im, shift)};
    return made;
}

/* Twice the spectrum of the m complex values z[n] = x[2n] + i x[2n+1], parts exchanged, of a spectrum shifted. */
static inline void mq_ends_together_s32(const mq_pair_s32 *x, mq_pair_s32 *z, uint32_t m, int32_t shift) {
    const int32_t first = mq_shifted(x[0].re, shift);
    const int32_t last = mq_shifted(x[m].re, shift);
    z[0].re = first - last;
    z[0].im = first + last;
}

static inline void mq_rest_together_s32(const mq_pair_s32 *x, const mq_pair_s32 *turns, mq_pair_s32 *z, uint32_t m,
                                        int32_t shift, uint32_t k) {
    for (; k <= m / 2; k++) {
        const mq_pair_s32 a = mq_pair_shifted(x[k], shift);
        const mq_pair_s32 other = mq_pair_shifted(x[m - k], shift);
        const mq_pair_s32 b = {other.re, -other.im};
        const mq_pair_s32 even = mq_pair_sum(a, b);
        const mq_pair_s32 odd = mq_pair_product_back(mq_pair_difference(a, b), turns[k]);
        z[k].re = even.im + odd.re;
        z[k].im = even.re - odd.im;
        z[m - k].re = odd.re - even.im;
        z[m - k].im = even.re + odd.im;
    }
}

static inline void mq_put_together_s32(const mq_pair_s32 *x, const mq_pair_s32 *turns, mq_pair_s32 *z, uint32_t m,
                                       int32_t shift) {
    mq_ends_together_s32(x, z, m, shift);
    mq_rest_together_s32(x, turns, z, m, shift, 1);
}

/* Complex values with their parts exchanged, as 16 bits. */
static inline void mq_narrow_exchanged(const mq_pair_s32 *x, int16_t *y, uint32_t n, int32_t m, int32_t exponent) {
    const int32_t shift = mq_narrowing(exponent);
    for (; n; n--, x++) {
        *y++ = mq_sat_s16(mq_requantise(x->im, m, shift));
        *y++ = mq_sat_s16(mq_requantise(x->re, m, shift));
    }
}

#endif
