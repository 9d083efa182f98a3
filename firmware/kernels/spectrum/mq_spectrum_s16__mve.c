/* Spectra of windowed frames of a real signal, fixed point, Helium; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_spectrum_s32.h"

#define MQ_PART(name) mq_mve_##name
#include "mq_frames_s32.h"

void mq_spectrum_s16(const int16_t *x, const int16_t *window, const int32_t *twiddles, int32_t *y, int32_t *exponents,
                     int32_t *work, const mq_spectrum_params *p) {
    mq_spectra_of_frames(x, window, twiddles, y, exponents, work, p);
}
