/* Samples of 16 bits as reals, Helium; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_audio.h"
#include "mq_mve_convert.h"

void mq_pcm_to_f32(const int16_t *x, float *y, uint32_t n, float scale) {
    const mq_to_reals q = {scale, 0};
    MQ_BY_FOUR(vldrhq_s32, vldrhq_z_s32, mq_reals, &q, vstrwq_f32, vstrwq_p_f32)
}
