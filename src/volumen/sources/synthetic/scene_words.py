"""Words of street signs, for scenes that are rendered: Chinese ones, and such without a Chinese character."""

from __future__ import annotations

_WORDS = """
    中国银行 中国移动 中国邮政 中国石化 中国电信 中国人寿 中国联通 中国工商银行 中国农业银行 中国建设银行
    中心医院 中医诊所 中学 中华路 中山路 中山大道 中央广场 中餐厅 市中心 购物中心 服务中心 文化中心 培训中心
    健身中心 体检中心 人民路 人民医院 人民公园 人民政府 人民银行 建设路 解放路 胜利路 和平路 北京路 南京路
    上海路 长江路 黄河路 东风路 新华书店 新华路 光明小区 幸福花园 阳光花园 大药房 大酒店 大饭店 大学 大厦
    大世界 大润发 国际酒店 商务酒店 连锁酒店 快捷酒店 宾馆 旅馆 招待所 旅行社 火车站 汽车站 公交站 地铁站
    停车场 加油站 收费站 派出所 公安局 邮局 法院 税务局 超市 便利店 水果店 蛋糕 面包房 奶茶店 咖啡馆
    茶叶 烟酒店 服装店 鞋店 眼镜 理发店 美容院 洗衣 五金 文具 书店 花店 药店 手机店 电脑城
    家具城 建材市场 菜市场 批发市场 百货商场 商城 牛肉面 兰州拉面 重庆小面 四川火锅 老火锅 麻辣烫 烤鸭店
    饺子馆 包子铺 小吃店 快餐 早餐 川菜馆 湘菜馆 海鲜酒楼 烧烤 米粉 馄饨 炸鸡 豆浆 欢迎光临 招聘 转让
    出租 出售 免费 优惠 打折 新品上市 开业大吉 营业中 正在营业 休息中 请勿停车 禁止停车 禁止吸烟 小心地滑
    注意安全 安全出口 消防通道 出口 入口 卫生间 收银台 电梯 平安保险 太平洋保险 福利彩票 体育彩票 家用电器
    海尔 美的 格力空调 电动车 自行车 汽车维修 汽车美容 洗车 轮胎 配件 装饰公司 广告公司 房产中介 物业管理
    幼儿园 小学 艺术学校 驾校 口腔诊所 牙科 妇产医院 儿童医院 宠物医院
"""

WORDS = tuple(_WORDS.split())
"""What shops, roads and notices say. As on real streets, 中 is frequent: it stands in about one word of six."""

_OTHERS = """
    ATM 24H WIFI KFC OPEN SALE EXIT TAXI BUS P STOP COFFEE HOTEL BANK 110 119 120 400-800-8888
    13800138000 2025 No.1 A1 VIP 7-11 TEL
"""

OTHERS = tuple(_OTHERS.split())
"""Letters and digits: text, but not Chinese."""
