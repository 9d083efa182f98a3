/* The real signals of spectra, f32; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum_f32.h"

#define MQ_PART(name) mq_##name
#include "mq_frames_f32.h"

void mq_inverse_spectrum_f32(const float *x, const float *twiddles, float *y, float *work,
                             const mq_spectrum_params *p) {
    mq_signals_of_spectra(x, twiddles, y, work, p);
}
