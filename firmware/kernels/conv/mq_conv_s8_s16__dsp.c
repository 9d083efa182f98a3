/* mq_conv_tile.h has how, mq_conv.h the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#define MQ_CONV mq_conv_s8_s16
#define MQ_X(name) name##_s8
#define MQ_Y(name) name##_s16
#include "mq_conv_tile.h"
