/* Spectra of windowed frames of a real signal, fixed point; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum.h"
#include "mq_spectrum_s32.h"

void mq_spectrum_s16(const int16_t *x, const int16_t *window, const int32_t *twiddles, int32_t *y, int32_t *exponents,
                     int32_t *work, const mq_spectrum_params *p) {
    const uint32_t m = p->fft / 2;
    const mq_fft_s32_tables tables = mq_fft_s32_tables_of(twiddles, p->radices, m);
    mq_pair_s32 *const spectra = (mq_pair_s32 *)(void *)y;
    for (uint32_t t = 0; t < p->frames; t++) {
        exponents[t] = mq_frame_spectrum_s32(x + t * p->hop, window, p->length, spectra + t * (m + 1),
                                             (mq_pair_s32 *)(void *)work, &tables, p->radices, m);
    }
}
