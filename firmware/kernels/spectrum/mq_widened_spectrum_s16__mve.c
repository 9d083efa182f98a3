/* Values of 16 bits as spectra with exponents, Helium; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "mq_mve.h"
#include "mq_spectrum.h"

void mq_widened_spectrum_s16(const int16_t *x, int32_t *y, int32_t *exponents, uint32_t frames, uint32_t n) {
    const uint32_t values = frames * n;
    for (uint32_t fours = values / 4; fours; fours--, x += 4, y += 4) {
        vstrwq_s32(y, vldrhq_s32(x));
    }
    const mve_pred16_t some = vctp32q(values % 4);
    vstrwq_p_s32(y, vldrhq_z_s32(x, some), some);
    memset(exponents, 0, frames * sizeof *exponents);
}
