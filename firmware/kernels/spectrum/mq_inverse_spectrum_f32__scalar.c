/* The real signal of a spectrum, f32; see mq_spectrum.h. The inverse of a transform is the transform with real and
 * imaginary parts exchanged before and after.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum.h"
#include "mq_spectrum_f32.h"

/* Parts exchanged: im of the value as re. */
static inline mq_complex exchanged(float re, float im) {
    const mq_complex c = {im, re};
    return c;
}

/* The spectrum of the m complex values z[n] = x[2n] + i x[2n+1], times 1/m, parts exchanged. */
static void put_together(const mq_complex *x, const mq_complex *turns, mq_complex *z, uint32_t m) {
    const float half = 0.5f / (float)m;
    z[0] = exchanged((x[0].re + x[m].re) * half, (x[0].re - x[m].re) * half);
    for (uint32_t k = 1; k <= m / 2; k++) {
        const mq_complex a = x[k];
        const mq_complex b = {x[m - k].re, -x[m - k].im};
        const mq_complex back = {turns[k].re, -turns[k].im};
        const mq_complex even = mq_complex_scaled(mq_complex_sum(a, b), half);
        const mq_complex odd = mq_complex_scaled(mq_complex_product(mq_complex_difference(a, b), back), half);
        z[k] = exchanged(even.re - odd.im, even.im + odd.re);
        z[m - k] = exchanged(even.re + odd.im, odd.re - even.im);
    }
}

void mq_inverse_spectrum_f32(const float *x, const float *twiddles, float *y, float *work,
                             const mq_spectrum_params *p) {
    const uint32_t m = p->fft / 2;
    const mq_fft_tables tables = mq_fft_tables_of(twiddles, p->radices, m);
    mq_complex *const scratch = (mq_complex *)(void *)work;
    for (uint32_t t = 0; t < p->frames; t++) {
        mq_complex *const signal = (mq_complex *)(void *)(y + t * p->fft);
        mq_complex *const start =
            tables.count % 2 ? scratch : signal; /* so that the passes end in the signal's place */
        put_together((const mq_complex *)(const void *)x + t * (m + 1), tables.turns, start, m);
        mq_fft(start, tables.count % 2 ? signal : scratch, tables.passes, p->radices, m);
        for (uint32_t n = 0; n < m; n++) {
            signal[n] = exchanged(signal[n].re, signal[n].im);
        }
    }
}
