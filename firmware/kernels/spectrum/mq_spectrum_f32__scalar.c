/* Spectra of windowed frames of a real signal, f32; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum.h"
#include "mq_spectrum_f32.h"

void mq_spectrum_f32(const float *x, const float *window, const float *twiddles, float *y, float *work,
                     const mq_spectrum_params *p) {
    const uint32_t m = p->fft / 2;
    const mq_fft_tables tables = mq_fft_tables_of(twiddles, p->radices, m);
    mq_complex *const spectra = (mq_complex *)(void *)y;
    for (uint32_t t = 0; t < p->frames; t++) {
        mq_frame_spectrum(x + t * p->hop, window, p->length, spectra + t * (m + 1), (mq_complex *)(void *)work, &tables,
                          p->radices, m);
    }
}
