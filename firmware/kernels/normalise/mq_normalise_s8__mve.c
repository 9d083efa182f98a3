/* Four values at a time; mq_mve_normalise.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_normalise.h"

MQ_NORMALISE(s8, int8_t, -128, 127, vldrbq_s32, vldrbq_z_s32, vstrbq_s32, vstrbq_p_s32)
