/* Four values at a time; mq_mve_elementwise.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_elementwise.h"

MQ_ALIGNED_S16(mq_add_s16, mq_add_four)
