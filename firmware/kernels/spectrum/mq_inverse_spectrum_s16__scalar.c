/* The real signal of a spectrum with an exponent, fixed point; see mq_spectrum.h. The inverse of a transform is the
 * transform with real and imaginary parts exchanged before and after.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum.h"
#include "mq_spectrum_s32.h"

static mq_pair_s32 shifted(mq_pair_s32 v, int32_t shift) {
    const mq_pair_s32 made = {mq_shifted(v.re, shift), mq_shifted(v.im, shift)};
    return made;
}

/* Twice the spectrum of the m complex values z[n] = x[2n] + i x[2n+1], parts exchanged, of a spectrum shifted. */
static void put_together(const mq_pair_s32 *x, const mq_pair_s32 *turns, mq_pair_s32 *z, uint32_t m, int32_t shift) {
    const mq_pair_s32 first = shifted(x[0], shift);
    const mq_pair_s32 last = shifted(x[m], shift);
    z[0].re = first.re - last.re;
    z[0].im = first.re + last.re;
    for (uint32_t k = 1; k <= m / 2; k++) {
        const mq_pair_s32 a = shifted(x[k], shift);
        const mq_pair_s32 other = shifted(x[m - k], shift);
        const mq_pair_s32 b = {other.re, -other.im};
        const mq_pair_s32 back = {turns[k].re, -turns[k].im};
        const mq_pair_s32 even = mq_pair_sum(a, b);
        const mq_pair_s32 odd = mq_pair_product(mq_pair_difference(a, b), back);
        z[k].re = even.im + odd.re;
        z[k].im = even.re - odd.im;
        z[m - k].re = odd.re - even.im;
        z[m - k].im = even.re + odd.im;
    }
}

void mq_inverse_spectrum_s16(const int32_t *x, const int32_t *exponents, const int32_t *twiddles, int16_t *y,
                             int32_t *work, const mq_spectrum_params *p, int32_t m, int32_t exponent) {
    const uint32_t half = p->fft / 2;
    const mq_fft_s32_tables tables = mq_fft_s32_tables_of(twiddles, p->radices, half);
    mq_pair_s32 *const z = (mq_pair_s32 *)(void *)work;
    mq_pair_s32 *const other = z + half;
    for (uint32_t t = 0; t < p->frames; t++) {
        const int32_t *const spectrum = x + t * 2 * (half + 1);
        const int32_t shift = mq_room(spectrum, 2 * (half + 1)) - 2;
        put_together((const mq_pair_s32 *)(const void *)spectrum, tables.turns, z, half, shift);
        mq_fft_s32(z, other, tables.passes, p->radices, half);
        const mq_pair_s32 *const signal = tables.count % 2 ? other : z;
        for (uint32_t n = 0; n < half; n++) {
            const int32_t of_frame = exponent - exponents[t] - shift;
            y[t * p->fft + 2 * n] = mq_value_of_s16(signal[n].im, m, of_frame);
            y[t * p->fft + 2 * n + 1] = mq_value_of_s16(signal[n].re, m, of_frame);
        }
    }
}
