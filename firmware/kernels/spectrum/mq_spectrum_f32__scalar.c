/* Spectra of windowed frames of a real signal, f32; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum_f32.h"

#define MQ_PART(name) mq_##name
#include "mq_frames_f32.h"

void mq_spectrum_f32(const float *x, const float *window, const float *twiddles, float *y, float *work,
                     const mq_spectrum_params *p) {
    mq_spectra_of_frames(x, window, twiddles, y, work, p);
}
