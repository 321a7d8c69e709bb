package delivery

// A Reason says why a message went the way it went. The list is closed; its words are part of the contract.
type Reason string

// The reasons.
const (
	NotRegistered  Reason = "not_registered"
	NoDevice       Reason = "no_device"
	NoAnswer       Reason = "no_answer"
	Left           Reason = "left"
	Offline        Reason = "offline"
	StormHold      Reason = "storm_hold"
	NotText        Reason = "not_text"
	AppOnly        Reason = "app_only"
	OptedOut       Reason = "opted_out"
	RecipientWish  Reason = "recipient_wish"
	QuietHours     Reason = "quiet_hours"
	BudgetDay      Reason = "budget_day"
	BudgetMonth    Reason = "budget_month"
	TooLong        Reason = "too_long"
	PrefixDenied   Reason = "prefix_denied"
	RateSender     Reason = "rate_sender"
	RateRecipient  Reason = "rate_recipient"
	RatePrefix     Reason = "rate_prefix"
	LoopGuard      Reason = "loop_guard"
	GatewayDown    Reason = "gateway_down"
	GatewayRefused Reason = "gateway_refused"
	Undeliverable  Reason = "undeliverable"
	OutcomeLost    Reason = "outcome_unknown"
	TimeRanOut     Reason = "expired"
	Cancelled      Reason = "cancelled"
	InboxFull      Reason = "inbox_full"
	NoSuchName     Reason = "no_such_name"
)

// Reasons lists them all, each with its sentence in English and in Chinese.
var Reasons = []struct {
	Reason  Reason
	English string
	Chinese string
}{
	{NotRegistered, "The number has no app, so it got an SMS.", "该号码未安装应用，已改发短信。"},
	{NoDevice, "No device of the recipient was ever connected.", "对方从未有设备连接。"},
	{NoAnswer, "The recipient's app did not confirm in time.", "对方的应用未及时确认。"},
	{Left, "The recipient signed off.", "对方已主动离线。"},
	{Offline, "The recipient's devices are offline.", "对方的设备不在线。"},
	{StormHold, "Many devices vanished at once, so SMS are held for a moment.", "大量设备同时掉线，短信暂缓发送。"},
	{NotText, "The message is not text and cannot be an SMS.", "内容不是文本，无法作为短信发送。"},
	{AppOnly, "The message is for the app only.", "该消息仅发送到应用。"},
	{OptedOut, "The recipient does not want SMS from this service.", "对方已退订本服务的短信。"},
	{RecipientWish, "The recipient does not take this as an SMS.", "对方不接收此短信。"},
	{QuietHours, "The recipient has quiet hours; the SMS goes out afterwards.", "对方处于免打扰时段，短信将稍后发送。"},
	{BudgetDay, "The SMS budget of today is used up.", "今日短信预算已用完。"},
	{BudgetMonth, "The SMS budget of this month is used up.", "本月短信预算已用完。"},
	{TooLong, "The message needs more SMS segments than are allowed.", "消息过长，超出短信分段上限。"},
	{PrefixDenied, "SMS to this prefix are not allowed.", "不允许向该号段发送短信。"},
	{RateSender, "The sender has reached its SMS limit.", "发送方已达到短信上限。"},
	{RateRecipient, "The recipient has reached its SMS limit.", "接收方已达到短信上限。"},
	{RatePrefix, "The SMS limit for this prefix is reached.", "该号段已达到短信上限。"},
	{LoopGuard, "Two machines seem to answer each other.", "疑似自动回复循环，已停止发送。"},
	{GatewayDown, "No SMS gateway can be reached; it is tried again.", "短信网关暂不可用，将重试。"},
	{GatewayRefused, "The SMS gateway refused the message.", "短信网关拒绝了该消息。"},
	{Undeliverable, "The carrier could not deliver the SMS.", "运营商无法送达该短信。"},
	{OutcomeLost, "The link broke while the SMS was sent; it is not sent twice.", "发送短信时链路中断，结果未知，不会重复发送。"},
	{TimeRanOut, "The message's time ran out.", "消息已过期。"},
	{Cancelled, "The sender cancelled the message.", "发送方已取消该消息。"},
	{InboxFull, "The recipient's inbox is full.", "对方的收件箱已满。"},
	{NoSuchName, "Nobody has this name.", "该名称不存在。"},
}
