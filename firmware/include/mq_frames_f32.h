/* Spectra of frames, features of them, and back, f32: what kernels do with the parts that mq_spectrum_f32.h, or that of
 * an instruction set, makes; kernels/spectrum/mq_spectrum.h has the formulas. Whoever includes this file
 * says by MQ_PART(name) whose parts. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FRAMES_F32_H
#define MQ_FRAMES_F32_H

#include <string.h>

#include "mq_cmsis_dsp.h"
#include "mq_fft_f32.h"
#include "mq_float.h"
#include "mq_spectrum.h"

MQ_FFT_TABLES(mq_fft_tables, mq_fft_tables_of, mq_complex, float)

/* The spectrum, m + 1 values, of `length` samples times a window, and zeros up to 2 m; work holds m values. */
static inline void mq_frame_spectrum(const float *x, const float *window, uint32_t length, mq_complex *spectrum,
                                     mq_complex *work, const mq_fft_tables *tables, const uint8_t *radices,
                                     uint32_t m) {
    /* the passes go to and fro between the two, and shall end in work */
    const int theirs = mq_cmsis_has(m);
    mq_complex *const start = tables->count % 2 && !theirs ? spectrum : work;
    float *const into = (float *)(void *)start;
    MQ_PART(windowed_f32)(x, window, into, length);
    for (uint32_t n = length; n < 2 * m; n++) {
        into[n] = 0.0f;
    }
    if (theirs) {
        mq_cmsis_spectrum(into, spectrum, m);
        return;
    }
    MQ_PART(fft_f32)(start, tables->count % 2 ? work : spectrum, tables->passes, radices, m);
    MQ_PART(take_apart_f32)(work, tables->turns, spectrum, m);
}

static inline void mq_spectra_of_frames(const float *x, const float *window, const float *twiddles, float *y,
                                        float *work, const mq_spectrum_params *p) {
    const uint32_t m = p->fft / 2;
    const mq_fft_tables tables = mq_fft_tables_of(twiddles, p->radices, m);
    mq_complex *const spectra = (mq_complex *)(void *)y;
    for (uint32_t t = 0; t < p->frames; t++) {
        mq_frame_spectrum(x + t * p->hop, window, p->length, spectra + t * (m + 1), (mq_complex *)(void *)work, &tables,
                          p->radices, m);
    }
}

/* The inverse of a transform is the transform with real and imaginary parts exchanged before and after. */
static inline void mq_signals_of_spectra(const float *x, const float *twiddles, float *y, float *work,
                                         const mq_spectrum_params *p) {
    const uint32_t m = p->fft / 2;
    const mq_fft_tables tables = mq_fft_tables_of(twiddles, p->radices, m);
    mq_complex *const scratch = (mq_complex *)(void *)work;
    for (uint32_t t = 0; t < p->frames; t++) {
        mq_complex *const signal = (mq_complex *)(void *)(y + t * p->fft);
        if (mq_cmsis_has(m)) {
            mq_cmsis_signal((const mq_complex *)(const void *)x + t * (m + 1), y + t * p->fft, work, m);
            continue;
        }
        mq_complex *const start =
            tables.count % 2 ? scratch : signal; /* so that the passes end in the signal's place */
        MQ_PART(put_together_f32)((const mq_complex *)(const void *)x + t * (m + 1), tables.turns, start, m);
        MQ_PART(fft_f32)(start, tables.count % 2 ? signal : scratch, tables.passes, p->radices, m);
        MQ_PART(exchange_f32)(signal, m);
    }
}

static inline void mq_features_of_frames(const float *x, const float *window, const float *twiddles,
                                         const float *weights, float *y, float *work, const mq_spectrum_params *p,
                                         const mq_bands *bands, const mq_logarithm *log) {
    const uint32_t m = p->fft / 2;
    const uint32_t size = bands->bands > 0 ? bands->bands : m + 1;
    const mq_fft_tables tables = mq_fft_tables_of(twiddles, p->radices, m);
    mq_complex *const spectrum = (mq_complex *)(void *)work + m;
    for (uint32_t t = 0; t < p->frames; t++, y += size) {
        mq_frame_spectrum(x + t * p->hop, window, p->length, spectrum, (mq_complex *)(void *)work, &tables, p->radices,
                          m);
        float *const levels = bands->bands > 0 ? work : y;
        MQ_PART(levels_f32)((const float *)(const void *)spectrum, levels, m + 1, bands->power);
        const float *of_band = weights;
        for (uint32_t b = 0; b < bands->bands; b++) {
            y[b] = MQ_PART(band_f32)(levels + bands->first[b], of_band, bands->count[b]);
            of_band += bands->count[b];
        }
        if (log->taken) {
            MQ_PART(logarithms)(y, size, log);
        }
    }
}

#endif
