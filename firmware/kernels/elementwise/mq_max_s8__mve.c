/* Four values at a time; mq_mve_elementwise.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_elementwise.h"

MQ_ALIGNED_S8(mq_max_s8, mq_max_four)
